"""Tests that need one server: a store, a node, a proxy, or a page in Chromium.

Several nodes, several store servers and loads are in tests/cluster, containers in tests/docker; what needs a package
index is in tests/packages.
"""

import pytest

STORES = ("express", "file", "redis", "redis_waiting", "sqlite")


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The stores that tests of this tier run on."""
    name: str = request.param
    return name
