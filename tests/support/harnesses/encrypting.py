"""While encryption is turned on or off: of two kinds of nodes that follow each other, each does every other thing."""

from __future__ import annotations

from itertools import cycle

import pytest

from nodes.sessions import EncryptedStore, Encryption, Store
from tests.support.harness import Harness, Through
from tests.support.harnesses.encrypted import KEYS, EncryptedHarness


class InTurn(Through):
    """Over one store, a READ node and a WRITE node take turns."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._nodes = cycle([EncryptedStore(store, KEYS, each) for each in (Encryption.READ, Encryption.WRITE)])

    @property
    def to(self) -> Store:
        return next(self._nodes)

    @to.setter
    def to(self, store: Store) -> None:
        self.inner = store

    @property
    def wraps(self) -> Store:
        return self.inner


def make(request: pytest.FixtureRequest) -> Harness:
    return EncryptedHarness(InTurn, overhead=None)
