"""One session at the store, as far as one request knows it: its key, its record, its fields, and how they are read and
written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any

from blinker import NamedSignal

from . import signals
from .codec import DecodeError
from .cookie import key_of
from .encryption import any_sealed
from .fields import CLIENT_KEY, COOKIE_KEY, NO_LIFE, OWNER_PROOF, Fields, Life, check, others_changes, typed
from .options import OptionsError, Resave, SessionLimit, SessionOptions
from .store import (
    Changes,
    CookieNotSendable,
    Lifetime,
    ListsByUser,
    Outcome,
    Record,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    Store,
    StoreUnavailable,
    TooManySessions,
    UnknownKey,
    find_capability,
)

log = logging.getLogger("nodes.sessions")

Notify = Callable[[NamedSignal, str], None]
Refusal = Callable[[], str | None]
"""Why no browser would get or keep a cookie of this answer, and come back with it; None where it would."""

TOUCH_FRACTION = 0.1
"""A touch is skipped until this part of the idle timeout has passed since the last one."""


class StoredSession:
    """The session of `session_id`, of which nothing is known yet; None: one that has yet to be made."""

    def __init__(
        self, store: Store, options: SessionOptions, notify: Notify, refusal: Refusal, session_id: str | None
    ) -> None:
        self.store = store
        self.options = options
        self.tell = notify
        self.refusal = refusal
        self.id = session_id
        self.key = store.cookie.key_of(session_id) if session_id is not None else None
        self.record: Record | None = None
        self.loaded = session_id is None
        self.fields = Fields(store.codec, options.max_bytes)
        self.touched = False
        """Whether this request made the session, or sent an update that was applied."""

    def under(self, session_id: str | None) -> StoredSession:
        """Another one of the same request."""
        return StoredSession(self.store, self.options, self.tell, self.refusal, session_id)

    @property
    def key_hash(self) -> str | None:
        """The SHA-256 of the id, for logs and signals, whatever the store's key is."""
        return key_of(self.id) if self.id is not None else None

    def load(self) -> Record | None:
        """The record, read at most once. Tells the application where a genuine cookie finds none."""
        if not self.loaded:
            self.fetch()
            self.loaded = True
            if self.record is None:
                self.notify(signals.session_absent)
        return self.record

    def fetch(self) -> Record | None:
        """The record, read anew. One with a damaged value is set aside and counts as absent."""
        assert self.key is not None
        record = self.store.load(self.key)
        if record is not None:
            try:
                check(record.fields, self.store.codec)
                self.fields.read(record.fields)
            except DecodeError as error:
                if any_sealed(record.fields):
                    raise UnknownKey(f"session {self.key_hash} is encrypted, and this node has no key") from error
                log.error("session %s is corrupt and was quarantined: %s", self.key_hash, error)  # noqa: TRY400 - a line
                self.store.quarantine(self.key)
                record = None
        self.record = record
        return record

    def end(self) -> Record | None:
        """Ends it at the store; what it last was, `unread` where this node can't read that."""
        assert self.key is not None
        last = self.store.delete(self.key)
        if last is not None and any_sealed(last.fields):
            log.error("session %s, encrypted meanwhile, ended unread; what others wrote since is lost", self.key_hash)
            return replace(last, fields={}, unread=True)
        return last

    def update(self, changes: Changes) -> Outcome:
        """Sends `changes`. Raises `SessionTooLarge` where they do not fit.

        How long this session lives is part of it. Without a read it is unknown, so the update is made to apply only to
        a session that has no lifetime of its own; for the others the session is read, and the update sent again. So it
        is for one whose owner is encrypted: a node that can't read that must not write there.
        """
        assert self.key is not None
        blind = not self.loaded
        unread: dict[str, bytes | None] = {COOKIE_KEY: None, OWNER_PROOF: None}
        sent = replace(changes, expect={**changes.expect, **unread}) if blind else changes
        outcome = self.store.update(self.key, sent, self.lifetime)
        if blind and outcome is Outcome.CONFLICT:
            outcome = Outcome.ABSENT if self.load() is None else self.store.update(self.key, changes, self.lifetime)
        if outcome is Outcome.TOO_LARGE:
            raise SessionTooLarge(f"the session would exceed {self.options.max_bytes} bytes; nothing was saved")
        self.touched = self.touched or outcome is Outcome.APPLIED
        return outcome

    def touch_due(self) -> bool:
        """Whether enough of the idle timeout has passed for a touch, and a touch would change anything."""
        if self.record is None or self.record.final:
            return False
        return self.record.ttl <= self.lifetime.idle * (1 - TOUCH_FRACTION)

    @property
    def life(self) -> Life:
        """A life of this session's own, as far as is known without asking."""
        own = self.fields.values.get(COOKIE_KEY)
        return NO_LIFE if own is None else typed(own, Life)

    @property
    def lifetime(self) -> Lifetime:
        """Both timeouts of this session."""
        if (own := self.life) is NO_LIFE:
            return self.options.lifetime
        return own.lifetime(self.options, self.record.created if self.record else None)

    def notify(self, signal: NamedSignal) -> None:
        """Tells the application what happened to this session."""
        assert self.key_hash is not None
        self.tell(signal, self.key_hash)


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
    stored.notify(signals.session_absent)  # written without a read: as if the read had found nobody
    return _make(stored)


def _make(stored: StoredSession) -> StoredSession:
    made = create(stored, dict(stored.fields.pending().set))
    made.notify(signals.session_created)
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
            stored.notify(signals.session_conflict)
        if outcome is Outcome.ABSENT or stored.fetch() is None:
            raise SessionEnded("the session ended before this change; it was not saved")
    raise StoreUnavailable(f"gave up after {MAX_CONFLICTS} conflicts on one key")


def create(
    like: StoredSession, fields: dict[str, bytes], owner: str | None = None, created: float | None = None
) -> StoredSession:
    """A session under a new id, with the values that `like` holds. `SessionTooLarge` where they exceed the bound,
    `CookieNotSendable` where nobody could come back with the id."""
    store, options = like.store, like.options
    if (why := like.refusal()) is not None:
        raise CookieNotSendable(f"no session can be made: {why}")
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
    new.notify(signals.session_renewed if old.record is not None else signals.session_created)
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
    by_user = find_capability(new.store, ListsByUser)
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
                new.tell(signals.session_ended, key)
    except StoreUnavailable as error:
        log.warning("sessions beyond max_sessions could not be ended; the next login tries again: %s", error)
    if new.key in too_many:
        raise SessionEnded("so many later logins took place that this one ended")
