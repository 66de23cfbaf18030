"""How a session gets its id: made anew, or moved from an older one, as at login."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

from . import events
from .fields import others_changes
from .options import OptionsError, SessionLimit
from .own_fields import CLIENT_KEY, COOKIE_KEY, NO_LIFE
from .powers import ByUser, power_of
from .store import Record, SessionEnded, SessionError, StoreUnavailable, TooManySessions, Undeliverable
from .stored import StoredSession

log = logging.getLogger("nodes.sessions")


def create(
    like: StoredSession, fields: dict[str, bytes], owner: str | None = None, created: float | None = None
) -> StoredSession:
    """A session under a new id, with the values that `like` holds. `SessionTooLarge` where they exceed the bound,
    `Undeliverable` where nobody could come back with the id."""
    store, options = like.store, like.options
    if (why := like.refusal()) is not None:
        raise Undeliverable(f"no session can be made: {why}")
    like.fields.check_size(fields)
    life = like.life if COOKIE_KEY in fields else NO_LIFE
    if created is None and life.expires is not None:
        created = store.ping()  # what is left until a date, only the store's clock can tell
    lifetime = life.lifetime(options, created)
    for _ in range(3):  # a collision can only come from an application's own generate_id
        session_id = options.generate_id()
        if not store.cookie.is_canonical(session_id):
            raise OptionsError("generate_id must return 16 to 128 characters of A-Z a-z 0-9 - _")
        began = store.create(store.cookie.key_of(session_id), fields, owner, lifetime, created)
        if began is not None:
            made = like.under(session_id)
            made.record = Record(fields, owner, began, lifetime.idle)
            made.loaded = made.touched = True
            made.fields = like.fields.moved(fields)
            return made
    raise OptionsError("generate_id returned ids that are taken, three times in a row: it must be unpredictable")


def renew(old: StoredSession, owner: str | None, keep: bool, client: Mapping[str, str] | None = None) -> StoredSession:
    """Moves `old`, which is loaded, to a new id; see `Session.renew`. `client` is remembered."""
    store = old.store
    is_login = owner is not None
    before, mine = old.fields.stored, old.fields.pending()
    fields = mine.applied_to(before) if keep else {}
    if client is not None:
        fields[CLIENT_KEY] = store.codec.encode(client)
    created = None
    if old.record is not None and keep and not is_login:
        owner, created = old.record.owner, old.record.created
    new = create(old, fields, owner, created)
    try:
        too_many = _beyond_limit(new, old.key) if is_login else []
        last = old.end() if old.record is not None else None
        if last is None and old.record is not None and not is_login:
            raise SessionEnded("the session ended while its id was renewed")
    except SessionError:
        _take_back(new)
        raise
    known = keep and last is not None and not last.unread  # what can't be read can't be carried over
    if known and last is not None and (late := others_changes(before, last.fields, mine)) is not None:
        new.update(late)
        new.fields.replaced(late.applied_to(fields))
    new.notify(events.session_renewed if old.record is not None else events.session_created)
    _end(too_many, new)
    return new


def _take_back(new: StoredSession) -> None:
    """Nobody knows its id: what can't be deleted now counts as one of the user's until it expires."""
    assert new.key is not None
    with suppress(StoreUnavailable):
        new.store.delete(new.key)


def _beyond_limit(new: StoredSession, old_key: str | None) -> list[str]:
    """The keys of the user's sessions that are too many, now that `new` is one of them.

    Each login looks once its session is made, so that of several at the same time none slips through: whoever looks
    last sees all of them. All agree on which are the oldest, and an older one may find itself among those. Where the
    newest is refused, that may be all of them: who came first, those who look earlier can't tell.
    """
    most, record = new.options.max_sessions, new.record
    if most is None:
        return []
    by_user = power_of(new.store, ByUser)
    assert by_user is not None, "Sessions demands it"
    assert record is not None
    assert record.owner is not None
    keys = [key for key in by_user.keys_of(record.owner) if key != old_key]
    if len(keys) > most and new.options.session_limit is SessionLimit.REFUSE:
        raise TooManySessions(f"you have {most} sessions, and may have no more: end one of them first")
    return keys[:-most]


def _end(too_many: list[str], new: StoredSession) -> None:
    """Once the login is done, so that one that fails has ended nobody."""
    try:
        for key in too_many:
            if new.store.delete(key) is not None:
                new.tell(events.session_ended, key)
    except StoreUnavailable as error:
        log.warning("sessions beyond max_sessions could not be ended; the next login tries again: %s", error)
    if new.key in too_many:
        raise SessionEnded("so many later logins took place that this one ended")
