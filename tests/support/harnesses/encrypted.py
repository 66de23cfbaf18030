from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from nodes.sessions import EncryptedStore, Store
from nodes.sessions.codec import OVERHEAD
from tests.support.harness import Harness, MemoryHarness

KEYS = (b"n" * 32, b"o" * 32)
"""Two, so that conflicts are looked at twice."""


class EncryptedHarness:
    """The memory store, behind what encrypts it; `overhead` is what each value grows by, None where that differs."""

    def __init__(self, encrypted: Callable[[Store], Store], overhead: int | None) -> None:
        inner = MemoryHarness()
        self.store: Store = encrypted(inner.store)
        self.overhead = overhead
        self.advance: Callable[[float], None] = inner.advance
        self.damage: Callable[[str], None] = inner.damage
        self.keys: Callable[[], set[str]] = inner.keys
        self.outage: Callable[[], AbstractContextManager[None]] = inner.outage
        self.clear: Callable[[], None] = inner.clear


def make(request: pytest.FixtureRequest) -> Harness:
    return EncryptedHarness(lambda store: EncryptedStore(store, KEYS), OVERHEAD)
