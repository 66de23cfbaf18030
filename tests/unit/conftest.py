"""No server."""

import pytest

STORES = ("memory", "encrypted")


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The stores that tests of this tier run on."""
    name: str = request.param
    return name
