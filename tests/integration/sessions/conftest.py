"""A client of the server that the tests of stores share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.valkey import Valkey


@pytest.fixture
def client(server: Valkey) -> Iterator[Any]:
    """The server is empty."""
    with server.client() as made:
        made.flushdb()
        yield made
