"""Tests that need several servers: nodes, stores, clusters as `up` starts them, loads."""

import pytest

STORES = ("redis_cluster", "redis_ha")


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The stores that tests of this tier run on."""
    name: str = request.param
    return name
