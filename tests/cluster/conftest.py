"""Tests that need several store servers, or clusters as `up` starts them."""

import pytest

STORES = ("redis_cluster", "redis_ha")


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The stores that tests of this tier run on."""
    name: str = request.param
    return name
