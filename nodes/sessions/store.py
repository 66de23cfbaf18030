"""The store protocol: what every store does, its records and errors, and time budgets.

Optional capabilities, such as the sessions of a user, are in `capabilities.py`.

A store never sees a session id. Its keys are the SHA-256 of the id (64 hexadecimal digits), so a dump of the store
cannot be used to log in. A session is stored as fields, one for each top-level key of the mapping, each encoded on its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from .checks import check_store, check_type
from .cookie import CookieFormat

if TYPE_CHECKING:
    from .codec import Codec

# ---- errors


class SessionError(Exception):
    """Base of the errors that a session can raise while a request is served."""

    status: ClassVar[int] = 503
    """The HTTP status of the response."""


class StoreUnavailable(SessionError):
    """The store did not answer, or refused: whether the session exists is *unknown*. Never treated as absent."""


class UnsupportedRecordVersion(StoreUnavailable):
    """A later version wrote the record. This one can't read it, and must not overwrite it."""


class ForeignTable(ValueError):
    """A table has the name of a store's, and is another application's."""


class RecordTooLarge(UnsupportedRecordVersion):
    """Another bound allowed the record: it is larger than this node reads, and must not be overwritten."""


class UnknownKey(StoreUnavailable):
    """The record is encrypted with a key that this node does not have. It must not be overwritten."""


class CorruptRecord(ValueError):
    """The bytes of a record are not what a store writes. Read twice, it is quarantined and counts as absent.

    `found` is what was read: two corrupt reads that differ are a fault of the store or of the network (`corrupt.py`).
    """

    def __init__(self, why: str, found: object = None) -> None:
        super().__init__(why)
        self.found = found


class SessionEnded(SessionError):
    """The session ended (logout, expiry, renewal) while this request worked with it, so its writes were not saved."""

    status = 409


class CookieNotSendable(SessionError):
    """A session was to be created or renewed, but no browser would get or keep its cookie."""

    status = 400


class SessionTooLarge(SessionError):
    """The write would take the session over its bound. What was stored before is still there, unchanged."""

    status = 413


class TooManySessions(SessionError):
    """The user has `max_sessions` sessions, and a new login is refused (`SessionLimit.REFUSE`)."""

    status = 409


class AnonymousRefused(SessionError):
    """Base of the errors that refuse an anonymous session for the sake of others; see `admission.py`."""


class TooManyNewSessions(AnonymousRefused):
    """The client's address starts more anonymous sessions than `SessionOptions.anonymous_rate` allows."""

    status = 429


class StoreNearlyFull(AnonymousRefused):
    """The store is so full that the rest is kept for users (`SessionOptions.anonymous_share`). Nothing was saved."""


class NotAllEnded(SessionError):
    """The sessions of a user could not all be ended in the time given: some have ended. Repeat it for the rest."""


class LoginTooOld(SessionError):
    """The view needs a more recent login than this session's, or a login at all."""

    status = 401


# ---- what a store keeps

LATEST = 253_402_300_800.0
"""The end of the year 9999, in seconds since the epoch: no session is created or expires later."""
LONGEST = 100 * 365.25 * 86_400
"""A hundred years, in seconds: no session lives longer, so that every store can represent its end as a date."""
QUARANTINE_SECONDS = 24 * 60 * 60
"""Time for which a corrupt record is kept for inspection."""


class Lifetime(msgspec.Struct, frozen=True):
    """Timeouts of a session in seconds: `idle` since the last touch, `absolute` since its creation."""

    idle: float
    absolute: float


class Record(msgspec.Struct, frozen=True):
    """A session in the store. All times are by the store's clock.

    `created` is in seconds since the epoch, `ttl` in seconds from now. `final` means that the absolute timeout decides
    when the session expires, so that a touch would change nothing.
    """

    fields: Mapping[str, bytes]
    owner: str | None
    created: float
    ttl: float
    final: bool = False


MARK_SECONDS = 120
"""How long a mark stays: longer than any request is in flight, and long enough to repeat a login without an answer."""


class SessionMark(msgspec.Struct, frozen=True):
    """A mark under the key of a session that ended: it tells a late request with its id from one of a new visitor.

    `successor` is the sealed id of the session that goes on (see `marks.py`); empty without one, as after a logout.
    Where it was ended elsewhere, `ELSEWHERE` is in its place, until the browser gets a newer cookie.
    """

    successor: bytes = b""


ELSEWHERE = b"elsewhere"
"""In a mark: another session of the user ended this one, or the limit of their number, or the application did."""


class Changes(msgspec.Struct, frozen=True):
    """One atomic update: fields to set and to delete. With neither it is a touch.

    `expect` makes it a compare-and-set: the update applies only where each of these fields still has these bytes (None:
    is still missing). `max_bytes` bounds the size of the session after the update; see `encoded_size`.
    """

    set: Mapping[str, bytes] = msgspec.field(default_factory=dict)
    delete: frozenset[str] = frozenset()
    expect: Mapping[str, bytes | None] = msgspec.field(default_factory=dict)
    max_bytes: int | None = None

    def apply_to(self, fields: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the fields after the update."""
        return {name: value for name, value in fields.items() if name not in self.delete} | dict(self.set)

    def refusal(self, fields: Mapping[str, bytes]) -> Outcome | None:
        """Return CONFLICT or TOO_LARGE where the update must not be applied to these fields."""
        if any(fields.get(name) != value for name, value in self.expect.items()):
            return Outcome.CONFLICT
        if self.set and self.max_bytes is not None and encoded_size(self.apply_to(fields)) > self.max_bytes:
            return Outcome.TOO_LARGE
        return None


class Outcome(Enum):
    """The result of an update, or of `Store.retire`."""

    APPLIED = "applied"
    ABSENT = "absent"
    """The session does not exist (any more); nothing was written, so nothing was revived."""
    ENDED = "ended"
    """As `ABSENT`, and a `SessionMark` shows that the session ended a moment ago."""
    CONFLICT = "conflict"
    """A field of `expect` had other bytes; nothing was written."""
    TOO_LARGE = "too large"
    """The session would have exceeded `max_bytes`; nothing was written."""


def encoded_size(fields: Mapping[str, bytes]) -> int:
    """Return the size of a session in bytes, as bounds count it: the UTF-8 names of its fields and their values."""
    return len("".join(fields).encode()) + sum(map(len, fields.values()))


# ---- the protocol


class Store(Protocol):
    """Keeps sessions. `tests/integration/sessions/test_store_contract.py` holds every store to this.

    Every operation is atomic, and takes one round trip unless the store's docstring says otherwise. Absent is a value;
    `StoreUnavailable` means that the answer is unknown, and is the only exception for a fault of the store. An expired
    session is absent from the moment it expires, by the store's clock alone. A record that can't be decoded is read
    once more (`corrupt.py`), quarantined and reported as absent; one that a later version wrote raises
    `UnsupportedRecordVersion` and stays as it is.
    """

    codec: Codec
    """Encodes the fields of this store."""
    cookie: CookieFormat
    """The format of the cookie, and the store's key for an id."""

    def load(self, key: str) -> Record | SessionMark | None:
        """Return the session under `key`, or the mark of one that was retired, or None.

        Changes nothing, not even the idle timeout.
        """
        ...

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        """Store a new session and return when it was created; None, with nothing written, where `key` is taken.

        `created` is when the session that this one replaces was created; None: now. Where the absolute timeout since
        then is over, the new session is expired at once.
        """
        ...

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        """Apply all of `changes` or nothing, where the session still exists, and restart its idle timeout.

        Never creates a session, and never moves its expiry past `created` plus the absolute timeout.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete the session, if there is one. Leaves no mark."""
        ...

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        """End the session and leave `mark` under its key for `MARK_SECONDS`. Final once it returns.

        APPLIED: the session ended. ABSENT: there was none; the mark is there now. ENDED: an earlier mark is there, and
        stays; but one of `ELSEWHERE` gives way, and counts as none. CONFLICT: the session does not have exactly the
        fields of `expect`, and nothing was changed. A mark is not a session: it is neither counted nor listed, and a
        session under its key hides it. Safe to repeat: the second of two equal calls finds the mark of the first. Where
        the store has no space for a mark, a call without `expect` ends the session nevertheless.
        """
        ...

    def quarantine(self, key: str) -> None:
        """Make a corrupt record absent. Stores that can do so keep it for `QUARANTINE_SECONDS`."""
        ...

    def ping(self) -> float:
        """Return the store's clock in seconds since the epoch. Raises `StoreUnavailable`."""
        ...

    def close(self) -> None:
        """Release connections and files. The store is not used after it."""
        ...


class StoreWrapper:
    """Base class of a store around another one: calls `wraps` for each operation that a subclass does not override."""

    def __init__(self, wraps: Store) -> None:
        check_store(wraps)
        self.wraps = wraps
        self.codec = wraps.codec
        self.cookie = wraps.cookie

    def load(self, key: str) -> Record | SessionMark | None:
        return self.wraps.load(key)

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        return self.wraps.create(key, fields, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return self.wraps.update(key, changes, lifetime)

    def delete(self, key: str) -> None:
        self.wraps.delete(key)

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        return self.wraps.retire(key, mark, expect)

    def quarantine(self, key: str) -> None:
        self.wraps.quarantine(key)

    def ping(self) -> float:
        return self.wraps.ping()

    def close(self) -> None:
        self.wraps.close()


# ---- time budgets


@dataclass(frozen=True, slots=True)
class Budgets:
    """Time limits of one operation on a store behind a network, and the number of connections.

    The clients' own defaults are far longer: redis-py's let a silent server hold a worker for 59 s. `connect_timeout`
    and `read_timeout` are seconds for each attempt, `retries` how often an idempotent operation (load, ping) is tried
    again, `deadline` the seconds after which no further attempt starts. A write whose answer was lost is repeated only
    where the store can tell whether the first one was applied; in a SQL database its answer has until the deadline,
    since the disk is written to before. `max_connections` bounds the pool of one process; waiting for a connection
    takes at most `connect_timeout`. `max_reply` bounds the replies of one round trip in bytes, and the record of a
    session that is read.
    """

    connect_timeout: float = 0.25
    read_timeout: float = 0.25
    retries: int = 1
    deadline: float = 1.0
    max_connections: int = 64
    max_reply: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "deadline"):
            check_type(name, getattr(self, name), (int, float), "a number")
            if not 0 < getattr(self, name) <= 60:
                raise ValueError(f"{name} must be above 0 and at most 60 seconds, not {getattr(self, name):g}")
        for name in ("retries", "max_connections", "max_reply"):
            check_type(name, getattr(self, name), int, "an int")
        if not 0 <= self.retries <= 10:
            raise ValueError(f"retries must be between 0 and 10, not {self.retries}")
        if self.max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, not {self.max_connections}")
        if self.max_reply < 64 * 1024:
            raise ValueError(f"max_reply must be at least 65536 bytes, not {self.max_reply}")

    def without_retries(self) -> Budgets:
        """Return these budgets for an operation whose caller retries it."""
        return replace(self, retries=0)
