"""Tests that need at most one store server, with nodes and proxies in front of it.

No Redis Cluster, no Sentinel, no Docker: those are tests/cluster and tests/docker.
"""

import pytest

STORES = ("express", "file", "redis", "redis_waiting", "sqlite")


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The stores that tests of this tier run on."""
    name: str = request.param
    return name
