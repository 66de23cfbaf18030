"""Optional capabilities of stores: small protocols that a store may fulfil beside `Store`.

A wrapper has those of the store that it wraps: ask by `find_capability`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

P = TypeVar("P")
OnExpired = Callable[[str], object]


def ignore(key: str) -> None:
    """Do nothing: the default `on_expired` of `Sweepable.sweep`."""


@runtime_checkable
class ListsByUser(Protocol):
    """Lists the sessions of a user."""

    def keys_of(self, owner: str) -> list[str]:
        """Return the keys of the live sessions of `owner` by the time of their creation, oldest first.

        A session is listed from the moment `create` returns, and never once it ended or expired.
        """
        ...


@runtime_checkable
class PagesByUser(Protocol):
    """Lists the sessions of a user page by page, at the cost of a page, for users with thousands of them."""

    def page_of(self, owner: str, first: int, count: int) -> list[str]:
        """Return up to `count` keys of `owner`, newest first, without the `first` newest. Some may have ended."""
        ...


ENDED_AT_ONCE = 100
"""The most sessions that `EndsMany` ends in one call: none waits long for its locks."""


@runtime_checkable
class EndsMany(Protocol):
    """Ends many sessions at the cost of a few."""

    def end_many(self, keys: Sequence[str]) -> list[str]:
        """End the sessions under up to `ENDED_AT_ONCE` keys, each as `retire` with a mark of `ELSEWHERE` does.

        Return the keys of those that ended: final once it returns. Keys without a session may get no mark. Where it
        fails, some may have ended; safe to repeat.
        """
        ...


@runtime_checkable
class FindsByUser(Protocol):
    """Has no index of the sessions of a user, and finds them by looking at all sessions: for rare operations."""

    def find_keys_of(self, owner: str) -> list[str]:
        """Return the keys of the live sessions of `owner`, in no order; one created meanwhile may be missing."""
        ...


@runtime_checkable
class Iterable(Protocol):
    """Iterates over all sessions."""

    def keys(self) -> Iterator[str]:
        """Yield the key of each live session, in no order. Sessions created or ended meanwhile may be missing."""
        ...

    def count(self) -> int:
        """Return the number of live sessions."""
        ...


@runtime_checkable
class Sweepable(Protocol):
    """Keeps expired sessions until they are swept. In other stores the server removes them."""

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        """Remove up to `limit` expired sessions and return how many. Of several processes one sweeps at a time.

        `on_expired` is called with the key of each session that had expired, once it is removed and no lock is held;
        never for a quarantined record.
        """
        ...


@runtime_checkable
class PingsAtOnce(Protocol):
    """Holds requests while its server is unavailable, and can also ping without waiting."""

    def ping_at_once(self) -> float:
        """Return the store's clock as `ping` does, without waiting for the server to come back."""
        ...


@runtime_checkable
class Reconnects(Protocol):
    """Has connections to a server."""

    def reconnect(self) -> None:
        """Close the idle connections, so that the next operation makes a new one: another way through the network."""
        ...


@runtime_checkable
class MeasuresSpace(Protocol):
    """Knows how full it is."""

    def used_share(self) -> float | None:
        """Return the used share of its space, 0 to 1 or a little more; None where it has no limit that it knows of.

        One round trip to each of its servers that has sessions of its own. Raises `StoreUnavailable`.
        """
        ...


@runtime_checkable
class AddsBytes(Protocol):
    """Stores more bytes than it is given. The bound on the size of a session counts what is stored."""

    def stored_size(self, fields: Mapping[str, bytes], owner: str | None) -> int:
        """Return the `encoded_size` of a session that is created with these fields."""
        ...


def find_capability(store: object, capability: type[P]) -> P | None:
    """Return `store` if it has this capability, or else the first wrapped store that has it, or else None."""
    while store is not None:
        if isinstance(store, capability):
            return store
        store = getattr(store, "wraps", None)
    return None
