from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from nodes.sessions import EncryptedStore, Store
from nodes.sessions.sealing import OVERHEAD
from tests.sessions.harness import Harness, MemoryHarness


class EncryptedHarness:
    """The memory store, encrypted: of two keys, so that conflicts are looked at twice."""

    overhead = OVERHEAD

    def __init__(self) -> None:
        inner = MemoryHarness()
        self.store: Store = EncryptedStore(inner.store, keys=(b"n" * 32, b"o" * 32))
        self.advance: Callable[[float], None] = inner.advance
        self.damage: Callable[[str], None] = inner.damage
        self.keys: Callable[[], set[str]] = inner.keys
        self.outage: Callable[[], AbstractContextManager[None]] = inner.outage
        self.clear: Callable[[], None] = inner.clear


def make(request: pytest.FixtureRequest) -> Harness:
    return EncryptedHarness()
