"""What the stores that share sessions with Express have in common: how one is made, read and changed, wherever it lies.

A store reads the JSON, asks `Documents` what a change makes of it, and swaps that in where the other side wrote nothing
meanwhile; else it begins again (`until_swapped`). So a change is merged key by key, and no writer is overwritten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..cookie import key_of
from ..store import Changes, Lifetime, Outcome, Record, StoreUnavailable, size_of
from .express_json import DamagedJson, Document, JsonCodec, cookie_of

log = logging.getLogger("nodes.sessions")

UNKNOWN_AGE = 3600.0
"""How old a session of Express's counts as, in seconds, until our side first writes it: too old for a fresh login, and
young enough for the absolute timeout."""
MAX_SWAPS = 100


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be stored: the document, and in `milliseconds` what is left to the session; none: it is over.

    `is_touch` says that the document says nothing new but when it ends.
    """

    document: Document
    milliseconds: int
    is_touch: bool = False


class Documents:
    """The sessions of one store; `owner_field` is the key in which Express keeps who is logged in.

    Times are seconds since the epoch by the clock of whatever keeps them.
    """

    def __init__(self, owner_field: str) -> None:
        self.codec = JsonCodec()
        self._owner_field = owner_field

    def parse(self, data: bytes) -> Document:
        """`DamagedJson` where there is no session in it."""
        return Document.parse(data, self._owner_field)

    def made(
        self, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None, now: float
    ) -> tuple[Merged, float]:
        """A new session, and when it was created; `created` None: now."""
        created = int((now if created is None else created) * 1000 + 0.001) / 1000
        document = Document({}, cookie_of({}), self._owner_field)
        if owner is not None:
            document.values[self._owner_field] = self.codec.encode(owner)
        document.set(fields)
        return Merged(document, _expire(document, lifetime, created, now)), created

    def merged(self, document: Document, changes: Changes, lifetime: Lifetime, now: float) -> Merged | Outcome:
        """`document` with `changes` in it, or why there is nothing to store."""
        created = document.created
        if created is None:
            created = now - min(UNKNOWN_AGE, lifetime.absolute / 2)
        fields = document.fields(self.codec)
        if any(fields.get(name) != expected for name, expected in changes.expect.items()):
            return Outcome.CONFLICT
        if changes.set and changes.max_bytes is not None and size_of(changes.applied_to(fields)) > changes.max_bytes:
            return Outcome.TOO_LARGE
        was_final = document.final
        for name in changes.delete:
            document.delete(name)
        document.set(changes.set)
        milliseconds = _expire(document, lifetime, created, now)
        is_touch = not (changes.set or changes.delete) and document.final == was_final
        return Merged(document, milliseconds, is_touch)

    def record(self, document: Document, ttl: float, now: float) -> Record:
        """What the session layer sees of it, with `ttl` seconds left."""
        created = document.created
        if created is None:
            created = now - UNKNOWN_AGE
        return Record(document.fields(self.codec), document.owner, created, ttl, document.final)


def until_swapped(attempt: Callable[[], Outcome | None]) -> Outcome:
    """The first outcome of `attempt`, which answers None where somebody wrote in between. `StoreUnavailable` where that
    goes on and on."""
    for _ in range(MAX_SWAPS):
        outcome = attempt()
        if outcome is not None:
            return outcome
    raise StoreUnavailable(f"gave up after {MAX_SWAPS} writers in between")


def log_damaged(key: str, why: DamagedJson) -> None:
    """Names the hash: the key is an id."""
    log.error("session %s is damaged and was set aside: %s", key_of(key), why)


def _expire(document: Document, lifetime: Lifetime, created: float, now: float) -> int:
    """The milliseconds that are left, which the document then says as well. Express knows no other idle timeout than a
    cookie's maxAge, so where the document has one, it is ours too."""
    document.values["_created"] = b"%d" % round(created * 1000)
    age = document.max_age or 0
    idle, absolute = (age / 1000 if age > 0 else lifetime.idle), created + lifetime.absolute - now
    ttl = min(idle, absolute)
    document.expire(now, ttl, final=absolute <= idle)
    return int(ttl * 1000)
