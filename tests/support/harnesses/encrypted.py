"""Encryption over the memory store."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from nodes.sessions import EncryptedStore, Encryption, Store
from tests.support.harness import Through
from tests.support.harnesses.memory import MemoryHarness

KEYS = (b"n" * 32, b"o" * 32)
"""Two, so that conflicts are looked at twice."""


class EncryptedHarness(MemoryHarness):
    """The memory store, encrypted; `overhead` is what each value grows by, None where that differs."""

    def __init__(self, encrypt: Callable[[Store], Store], overhead: int | None) -> None:
        super().__init__()
        self.store = encrypt(self.store)
        self.overhead = overhead


class TurnAndTurn(Through):
    """Encryption while it is turned on or off: a READ node and a WRITE node take turns on one store."""

    def __init__(self, store: Store) -> None:
        self._nodes = cycle([EncryptedStore(store, KEYS, each) for each in (Encryption.READ, Encryption.WRITE)])
        self.codec, self.cookie = store.codec, store.cookie

    @property
    def wraps(self) -> Store:  # type: ignore[override]
        return next(self._nodes)
