"""Real stores for every test that takes a `harness`, `store` or `server`."""

from collections.abc import Iterator

import pytest

from nodes.sessions import Store
from tests.sessions.harness import Harness, MemoryHarness, RedisHarness
from tests.sessions.valkey import Valkey

STORES = ("memory", "redis")


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    valkey = Valkey()
    yield valkey
    valkey.close()


@pytest.fixture(params=STORES)
def harness(request: pytest.FixtureRequest) -> Harness:
    """Each store in turn, empty."""
    made: Harness = MemoryHarness() if request.param == "memory" else RedisHarness(request.getfixturevalue("server"))
    made.clear()
    return made


@pytest.fixture
def store(harness: Harness) -> Store:
    return harness.store
