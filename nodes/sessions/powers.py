"""What a store may do beyond the protocol: small protocols, and how to ask for one.

All speak of keys only, and a store that wraps another one (`wraps`) need not repeat them. Counters (`counters.py`) are
no sessions: what goes through sessions leaves them out, and what sweeps takes them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from .store import Store

P = TypeVar("P")

Expired = Callable[[str], object]


def unheard(key: str) -> None:
    """For sweeps of which nobody wants to know what expired."""


@runtime_checkable
class ByUser(Protocol):
    """Finds the sessions of a user."""

    def keys_of(self, owner: str) -> list[str]:
        """The keys of the live sessions of `owner`, by the time they were created, oldest first.

        A session is listed from the moment `create` returns, and never once it ended or expired.
        """
        ...


@runtime_checkable
class Countable(Protocol):
    """Goes through all sessions."""

    def keys(self) -> Iterator[str]:
        """The key of each live session, in no order. What is created or ends meanwhile may be in it or not."""
        ...

    def count(self) -> int:
        """How many live sessions there are."""
        ...


@runtime_checkable
class Sweepable(Protocol):
    """Keeps expired sessions until somebody sweeps them; for the others the server does it."""

    def sweep(self, limit: int = 1000, expired: Expired = unheard) -> int:
        """Removes up to `limit` expired sessions and returns how many. Of several processes one sweeps at a time.

        `expired` is called with the key of each session that had expired, once it is gone and no lock is held; never
        for what was set aside.
        """
        ...


@runtime_checkable
class Impatient(Protocol):
    """Holds requests while it is out of reach, and says at once that it is."""

    def ping_at_once(self) -> float:
        """As `ping`, and never held."""
        ...


def power_of(store: object, power: type[P]) -> P | None:
    """`store` where it has this power, or the store it wraps; None where none of them has."""
    while store is not None:
        if isinstance(store, power):
            return store
        store = getattr(store, "wraps", None)
    return None


def innermost(store: Store) -> Store:
    """The store that keeps the sessions, below all that wrap it."""
    while (inner := getattr(store, "wraps", None)) is not None:
        store = inner
    return store
