"""The contract of every store, on memory: plain, encrypted, and while encryption is turned on or off."""

import pytest

from tests.integration.sessions.test_store_contract import *  # noqa: F403

STORES = (
    "memory",
    "encrypted",
    "encrypting",
)


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
