"""A network between a node and its store that is cut at one operation, before or after the store has carried it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from nodes.sessions import (
    Changes,
    Lifetime,
    ListsByUser,
    Outcome,
    Record,
    SessionMark,
    Store,
    StoreUnavailable,
    find_capability,
)
from nodes.sessions.store import StoreWrapper

T = TypeVar("T")


@dataclass(frozen=True)
class Cut:
    """The operation number `at`, counted from 1, is lost, or its answer is. `lasts`: and so are all later ones."""

    at: int
    answer: bool
    lasts: bool

    def __str__(self) -> str:
        lost = "the answer to" if self.answer else "the request of"
        return f"{lost} operation {self.at}{' and all later ones' if self.lasts else ''} lost"


class Network:
    """Counts the operations of some stores, and loses what `cut` says."""

    def __init__(self) -> None:
        self.sent = 0
        self.cut: Cut | None = None

    def restart(self, cut: Cut | None) -> None:
        self.sent, self.cut = 0, cut

    def send(self, operation: Callable[[], T]) -> T:
        self.sent += 1
        cut, late = self.cut, self.cut is not None and self.sent > self.cut.at
        if cut is None or self.sent < cut.at or (late and not cut.lasts):
            return operation()
        if cut.answer and not late:
            operation()
        raise StoreUnavailable(str(cut))


class CutStore(StoreWrapper):
    """`store` behind a network that can be cut. It lists the sessions of users as `store` does."""

    def __init__(self, store: Store, network: Network) -> None:
        super().__init__(store)
        self._network = network

    def load(self, key: str) -> Record | SessionMark | None:
        return self._network.send(lambda: self.wraps.load(key))

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        return self._network.send(lambda: self.wraps.create(key, fields, owner, lifetime, created))

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return self._network.send(lambda: self.wraps.update(key, changes, lifetime))

    def delete(self, key: str) -> Record | None:
        return self._network.send(lambda: self.wraps.delete(key))

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        return self._network.send(lambda: self.wraps.retire(key, mark, expect))

    def ping(self) -> float:
        return self._network.send(self.wraps.ping)

    def keys_of(self, owner: str) -> list[str]:
        by_user = find_capability(self.wraps, ListsByUser)
        assert by_user is not None
        return self._network.send(lambda: by_user.keys_of(owner))


def every_cut(operations: int) -> Iterator[Cut]:
    """Yield each way to cut a request of so many operations."""
    for at in range(1, operations + 1):
        for answer in (False, True):
            for lasts in (False, True):
                yield Cut(at, answer, lasts)
