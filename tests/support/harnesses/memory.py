from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from nodes.sessions import MemoryStore, Store, StoreUnavailable
from tests.support.harness import Through


class _OutOfReach(MemoryStore):
    def _live(self, key: str) -> None:
        raise StoreUnavailable("out of reach")

    def delete(self, key: str) -> None:
        self._live(key)

    quarantine = delete

    def ping(self) -> float:
        self._live("")
        return 0.0

    def _alive(self) -> list[tuple[str, Any]]:
        raise StoreUnavailable("out of reach")


class MemoryHarness:
    """The memory store. During an outage an unavailable store replaces it."""

    def __init__(self) -> None:
        self._now = 1_700_000_000.0
        self.memory = MemoryStore(clock=lambda: self._now)
        self._through = Through(self.memory)
        self.store: Store = self._through

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def damage(self, key: str) -> None:
        self.memory._entries[key].fields["broken"] = b"\xc1"

    def keys(self) -> set[str]:
        return {key for key, entry in self.memory._entries.items() if entry.expires > self._now}

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with self._through.through(_OutOfReach()):
            yield

    def clear(self) -> None:
        self.memory._entries.clear()
        self.memory._marks.clear()
