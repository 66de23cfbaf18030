"""Operations on a store that only tests need: turn its clock, damage a record, make it unavailable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from nodes.sessions import Store
from nodes.sessions.store import StoreWrapper


class Harness(Protocol):
    store: Store

    def advance(self, seconds: float) -> None:
        """Let this time pass for everything that is stored."""

    def damage(self, key: str) -> None:
        """Corrupt the record of `key`."""

    def keys(self) -> set[str]:
        """Return the keys of the live sessions."""

    def outage(self) -> contextlib.AbstractContextManager[None]:
        """Make the store unavailable inside the block. It keeps its data."""

    def clear(self) -> None:
        """Remove everything."""


class Through(StoreWrapper):
    """A store that forwards to another one, which a test may exchange."""

    @contextlib.contextmanager
    def through(self, other: Store) -> Iterator[None]:
        before, self.wraps = self.wraps, other
        try:
            yield
        finally:
            self.wraps = before
