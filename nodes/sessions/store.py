"""What a session store is: the protocol that every store fulfils, and the records, changes and errors it speaks in.

A store never sees a session id. Its keys are the SHA-256 of the id (64 hexadecimal digits), so a dump of the store logs
nobody in. A session is stored as *fields*, one for each top-level key of the mapping, each encoded on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, TypeVar, runtime_checkable

from .codec import Codec
from .cookie import CookieFormat


class SessionError(Exception):
    """Base of what can go wrong with a session while a request is served."""


class StoreUnavailable(SessionError):
    """The store did not answer, or refused: whether the session exists is *unknown*. Never treated as absent."""


class UnsupportedRecordVersion(StoreUnavailable):
    """A later version wrote the record. This one can't read it, and must not overwrite it."""


class UnknownKey(StoreUnavailable):
    """The record is encrypted with a key that this node does not have. It must not be overwritten."""


class CorruptRecord(ValueError):
    """The bytes of a record are not what a store writes. Such a record is quarantined and counts as absent."""


class SessionEnded(SessionError):
    """The session ended (logout, expiry, renewal) while this request worked with it, so its writes were not saved."""


class CookieNotSendable(SessionError):
    """A session would have had to be made, or moved to a new id, whose cookie no browser would get or keep."""


class SessionTooLarge(SessionError):
    """The write would take the session over its bound. What was stored before is still there, unchanged."""


class TooManySessions(SessionError):
    """The user has as many sessions as they may, and the newest is refused (`SessionLimit.REFUSE`)."""


class LoginTooOld(SessionError):
    """What was asked for needs a login more recent than this session's, or a login at all."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lives, in seconds: `idle` since the last touch, `absolute` since its creation."""

    idle: float
    absolute: float


@dataclass(frozen=True, slots=True)
class Record:
    """A session as it is stored. Every time in it is the store's clock's.

    `created` is in seconds since the epoch, `ttl` in seconds from now. `final` says that the absolute timeout decides
    when the session expires, so that a touch would change nothing. `unread` is said only by `delete`, of a session that
    ended although this node can't read its fields: they are unknown, and not none.
    """

    fields: Mapping[str, bytes]
    owner: str | None
    created: float
    ttl: float
    final: bool = False
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """One atomic update: which fields to set and to delete. With neither it is a touch.

    `expect` makes it a compare-and-set: the update applies only where each of these fields still has these bytes (None:
    is still missing). `max_bytes` bounds the size of the session after the update; see `size_of`.
    """

    set: Mapping[str, bytes] = field(default_factory=dict)
    delete: frozenset[str] = frozenset()
    expect: Mapping[str, bytes | None] = field(default_factory=dict)
    max_bytes: int | None = None

    def applied_to(self, fields: Mapping[str, bytes]) -> dict[str, bytes]:
        """What these fields are after the update."""
        return {name: value for name, value in fields.items() if name not in self.delete} | dict(self.set)

    def refusal(self, fields: Mapping[str, bytes]) -> Outcome | None:
        """Return CONFLICT or TOO_LARGE where the update must not be applied to these fields."""
        if any(fields.get(name) != value for name, value in self.expect.items()):
            return Outcome.CONFLICT
        if self.set and self.max_bytes is not None and size_of(self.applied_to(fields)) > self.max_bytes:
            return Outcome.TOO_LARGE
        return None


class Outcome(Enum):
    """What became of an update."""

    APPLIED = "applied"
    ABSENT = "absent"
    """There is no such session (any more); nothing was written, so nothing was revived."""
    CONFLICT = "conflict"
    """A field of `expect` had other bytes; nothing was written."""
    TOO_LARGE = "too large"
    """The session would have exceeded `max_bytes`; nothing was written."""


LATEST = 253_402_300_800.0
"""The end of the year 9999, in seconds since the epoch: no date is later, so no session was created then."""

LONGEST = 100 * 365.25 * 86_400
"""A hundred years, in seconds: no session lives longer, so that its end has a date everywhere."""


def size_of(fields: Mapping[str, bytes]) -> int:
    """The size of a session in bytes, as bounds count it: the UTF-8 names of its fields and their values."""
    return sum(len(name.encode()) + len(value) for name, value in fields.items())


class Store(Protocol):
    """What keeps sessions. A dozen lines of contract; `tests/sessions/test_store_contract.py` holds every store to it.

    Every operation is atomic, and takes one round trip unless the store's docstring says otherwise. Absent is a value;
    `StoreUnavailable` means that the answer is unknown, and is the only exception that a fault of the store raises.
    An expired session is absent from the moment it expires, by the store's clock and no other. A record that can't be
    decoded is quarantined and reported as absent; one that a later version wrote raises `UnsupportedRecordVersion`, and
    stays as it is.
    """

    codec: Codec
    """How the fields of this store are encoded."""
    cookie: CookieFormat
    """How the ids of this store's sessions travel, and which key of the store belongs to an id."""

    def load(self, key: str) -> Record | None:
        """The session under `key`, or None where there is none. Changes nothing, not even the idle timeout."""
        ...

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        """Stores a new session and returns when it was created; None, with nothing written, where `key` is taken.

        `created` is the time that an older session, which this one replaces, began with; None: now. Where the absolute
        timeout since then is over, the session has expired as soon as it is made.
        """
        ...

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        """Applies `changes` where the session still exists, wholly or not at all, and restarts its idle timeout.

        Never creates a session, and never moves its expiry past `created` plus the absolute timeout.
        """
        ...

    def delete(self, key: str) -> Record | None:
        """Ends the session and returns what it last was; None where there was none. Final once it returns."""
        ...

    def quarantine(self, key: str) -> None:
        """Take a corrupt record out of the way. Stores that can keep it for a day, for an inspection."""
        ...

    def ping(self) -> float:
        """The store's clock, in seconds since the epoch; `StoreUnavailable` where it does not answer."""
        ...

    def close(self) -> None:
        """Gives back connections and files. The store is not used after it."""
        ...


class StoreWrapper:
    """Base of a store around another one: `wraps` does what a subclass does not override."""

    def __init__(self, wraps: Store) -> None:
        self.wraps = wraps
        self.codec = wraps.codec
        self.cookie = wraps.cookie

    def load(self, key: str) -> Record | None:
        return self.wraps.load(key)

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        return self.wraps.create(key, fields, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return self.wraps.update(key, changes, lifetime)

    def delete(self, key: str) -> Record | None:
        return self.wraps.delete(key)

    def quarantine(self, key: str) -> None:
        self.wraps.quarantine(key)

    def ping(self) -> float:
        return self.wraps.ping()

    def close(self) -> None:
        self.wraps.close()


P = TypeVar("P")

Expired = Callable[[str], object]


def unheard(key: str) -> None:
    """For sweeps of which nobody wants to know what expired."""


@runtime_checkable
class ListsByUser(Protocol):
    """Finds the sessions of a user."""

    def keys_of(self, owner: str) -> list[str]:
        """The keys of the live sessions of `owner`, by the time they were created, oldest first.

        A session is listed from the moment `create` returns, and never once it ended or expired.
        """
        ...


@runtime_checkable
class Iterable(Protocol):
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
class PingsAtOnce(Protocol):
    """Holds requests while it is out of reach, and says at once that it is."""

    def ping_at_once(self) -> float:
        """As `ping`, and never held."""
        ...


def find_capability(store: object, power: type[P]) -> P | None:
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


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long one operation may take. The clients' own defaults are far longer: redis-py's let a silent server hold a
    worker for 59 s.

    `connect_timeout` and `read_timeout` are seconds for each attempt, `retries` how often an idempotent operation
    (load, ping) is tried again, `deadline` the seconds after which no further attempt starts. Updates are never sent
    twice: the first may have been applied. `max_connections` bounds the pool of one process; waiting for one of them
    takes at most `connect_timeout`.
    """

    connect_timeout: float = 0.25
    read_timeout: float = 0.25
    retries: int = 1
    deadline: float = 1.0
    max_connections: int = 64

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "deadline"):
            if not 0 < getattr(self, name) <= 60:
                raise ValueError(f"{name} {getattr(self, name):g} s must be above 0 and at most 60")
        if not 0 <= self.retries <= 10:
            raise ValueError(f"retries {self.retries} must be from 0 to 10")
        if self.max_connections < 1:
            raise ValueError(f"max_connections {self.max_connections} must be at least 1")

    def without_retries(self) -> Budgets:
        """The same for who is tried again by somebody else."""
        return replace(self, retries=0)
