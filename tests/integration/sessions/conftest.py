"""The server that the tests of stores share: a client, a harness."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.harnesses.redis import RedisHarness
from tests.support.valkey import Valkey


@pytest.fixture
def client(server: Valkey) -> Iterator[Any]:
    """The server is empty."""
    with server.client() as made:
        made.flushdb()
        yield made


@pytest.fixture
def redis_harness(server: Valkey, client: Any) -> RedisHarness:
    """The server is empty."""
    return RedisHarness(server)
