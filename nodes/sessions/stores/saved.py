"""A session as the memory and the file store keep it: these stores decide by a clock of their own when it expires."""

from __future__ import annotations

import msgspec

from ..store import Changes, Lifetime, Outcome, Record


class SavedMark(msgspec.Struct, array_like=True):
    """The mark of a session that ended; `expires` is in seconds since the epoch."""

    successor: bytes
    expires: float


class SavedSession(msgspec.Struct, array_like=True):
    """The state of a session. Times are in seconds since the epoch."""

    fields: dict[str, bytes]
    owner: str | None
    created: float
    expires: float
    final: bool

    @classmethod
    def make(
        cls, fields: dict[str, bytes], owner: str | None, created: float, now: float, lifetime: Lifetime
    ) -> SavedSession:
        """Return a session that is used `now`, with the rest of its lifetime."""
        idle, absolute = now + lifetime.idle, created + lifetime.absolute
        return cls(fields, owner, created, min(idle, absolute), absolute <= idle)

    def update(self, changes: Changes, lifetime: Lifetime, now: float) -> SavedSession | Outcome:
        """Return the session after `changes`, or why they must not be applied."""
        if refusal := changes.refusal(self.fields):
            return refusal
        if self.created + lifetime.absolute <= now:
            return Outcome.ABSENT
        return self.make(changes.apply_to(self.fields), self.owner, self.created, now, lifetime)

    def to_record(self, now: float) -> Record:
        return Record(self.fields, self.owner, self.created, self.expires - now, self.final)
