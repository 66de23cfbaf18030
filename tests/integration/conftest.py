"""Tests that need one server: a store, a node, a proxy, or a page in Chromium.

Several nodes, several store servers and loads are in tests/cluster, containers in tests/docker; what needs a package
index is in tests/packages.
"""

from tests.support.harnesses import store_names

STORES = ("express", "file", "redis", "redis_waiting", "sqlite")
store_name = store_names(*STORES)
