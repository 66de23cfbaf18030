"""Redis stores for tests, and a server that a test may kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from nodes.sessions import Budgets, RedisStore
from nodes.sessions.stores.name_lookup import Lookup, Resolver
from tests.support.records import PATIENT
from tests.support.several import SeveralServers
from tests.support.valkey import Valkey

OpenStore = Callable[..., RedisStore]


def make_store(
    at: Valkey | SeveralServers | str, budgets: Budgets = PATIENT, lookup: Lookup | None = None, **options: Any
) -> RedisStore:
    """Make a store at servers or a URL, whose host `lookup` looks up."""
    store = RedisStore.from_url(at if isinstance(at, str) else at.url, budgets, **options)
    if lookup is not None:
        store._connections.pool.connection_kwargs["resolver"] = Resolver(lookup)  # type: ignore[attr-defined]
    return store


@pytest.fixture
def open_store() -> Iterator[OpenStore]:
    """`make_store`, and the store is closed after the test."""
    with ExitStack() as stack:
        yield lambda *at, **options: stack.enter_context(closing(make_store(*at, **options)))


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A server that a test may kill or fill; it keeps its data over a restart."""
    # Each write is in the file before its reply. With "everysec" it may come later while the disk is busy.
    with closing(Valkey("--appendonly", "yes", "--appendfsync", "no")) as made:
        yield made
