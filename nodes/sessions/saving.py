"""What is sent of a session, and when: changes, a touch, a compare-and-set; and what it means if that is refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from . import events
from .options import Resave
from .renewal import create
from .store import Changes, Outcome, SessionEnded, StoreUnavailable
from .stored import StoredSession

MAX_CONFLICTS = 200
"""How often `mutate` tries again: every round one writer wins, so only a pathological crowd gets there."""


def commit(stored: StoredSession) -> StoredSession:
    """Sends what is due at the end of a request; returns the session that it is in now, which may have been made."""
    if stored.loaded and stored.record is None:
        is_due = stored.options.save_uninitialized or stored.fields.pending().set
        return _make(stored) if is_due else stored
    made = write(stored)
    if made is not stored or stored.touched:
        return made
    if stored.options.resave is Resave.ALWAYS:
        # Where a field is no longer what was read, somebody else has saved the session since.
        stored.update(Changes(stored.fields.stored, expect=stored.fields.stored))
    elif stored.touch_due():
        stored.update(Changes())
    return stored


def write(stored: StoredSession) -> StoredSession:
    """Sends what changed, where anything did. Raises `SessionEnded` where the session that was read is gone."""
    pending = stored.fields.pending()
    if not (pending.set or pending.delete):
        return stored
    blind = not stored.loaded
    if stored.update(pending) is Outcome.APPLIED:
        stored.fields.saved(pending)
        return stored
    if not blind:
        raise SessionEnded("the session ended while this request worked with it; nothing was saved")
    stored.notify(events.session_absent)  # written without a read: as if the read had found nobody
    return _make(stored)


def _make(stored: StoredSession) -> StoredSession:
    made = create(stored, dict(stored.fields.pending().set))
    made.notify(events.session_created)
    return made


def mutate(stored: StoredSession, key: str, function: Callable[[Any], Any], default: Any) -> Any:
    """Sets `key` of a session that was loaded, and has nothing pending, to `function(current value)`; returns it."""
    fields = stored.fields
    if stored.record is None:
        value = function(deepcopy(fields.values.get(key, default)))
        fields.assign(key, value)
        return value
    for _ in range(MAX_CONFLICTS):
        before = fields.stored.get(key)
        value = function(deepcopy(default) if before is None else fields.codec.decode(before))
        after = fields.encode(key, value)
        if after == before:
            return value
        change = Changes({key: after}, expect={key: before}, max_bytes=fields.max_bytes)
        outcome = stored.update(change)
        if outcome is Outcome.APPLIED:
            fields.saved(change)
            fields.values[key] = value
            return value
        if outcome is Outcome.CONFLICT:
            stored.notify(events.session_conflict)
        if outcome is Outcome.ABSENT or stored.fetch() is None:
            raise SessionEnded("the session ended before this change; it was not saved")
    raise StoreUnavailable(f"gave up after {MAX_CONFLICTS} conflicts on one key")
