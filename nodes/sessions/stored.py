"""One session at the store, as far as one request knows it: its key, its record, its fields, and how they are read and
written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from blinker import NamedSignal

from . import events
from .codec import DecodeError
from .cookie import key_of
from .fields import Fields
from .options import SessionOptions
from .own_fields import COOKIE_KEY, NO_LIFE, OWNER_PROOF, Life, check, typed
from .sealing import any_sealed
from .store import Changes, Lifetime, Outcome, Record, SessionTooLarge, Store, UnknownKey

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
                self.notify(events.session_absent)
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
