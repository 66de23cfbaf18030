"""Tests that need several servers, or a load: nodes, stores, clusters as `up` starts them, pages of the console."""

from tests.support.harnesses import store_names

STORES = ("redis_cluster", "redis_ha")
store_name = store_names(*STORES)
