"""Tests that need several servers, or a load: nodes, stores, clusters as `up` starts them, pages of the console."""

import pytest

STORES = ("redis_cluster", "redis_ha")


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The stores that tests of this tier run on."""
    name: str = request.param
    return name
