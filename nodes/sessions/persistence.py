"""One session at the store, during one request: load, save, touch, create, compare-and-set. `renewal.py`
moves it to another id, and `logout.py` ends it.

`SessionRecord` is the only code that talks to a store on behalf of a request. Each operation is one round trip unless
it says otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any, Protocol

from blinker import NamedSignal
from msgspec.structs import replace

from . import signals
from .admission import Admission
from .capabilities import AddsBytes, find_capability
from .codec import DecodeError
from .corrupt import read_record
from .fields import BLIND_EXPECT, COOKIE_KEY, DEFAULT_LIFETIME, Fields, SessionLifetime, check_reserved, convert
from .options import OptionsError, Resave, SessionOptions
from .store import (
    ELSEWHERE,
    MARK_SECONDS,
    AnonymousRefused,
    Changes,
    CookieNotSendable,
    CorruptRecord,
    Lifetime,
    Outcome,
    Record,
    SessionEnded,
    SessionMark,
    SessionTooLarge,
    Store,
    StoreNearlyFull,
    StoreUnavailable,
    encoded_size,
)

log = logging.getLogger(__package__)

TOUCH_FRACTION = 0.1
"""A touch is skipped until this part of the idle timeout has passed since the last one."""
MAX_CONFLICTS = 200
"""Maximum number of attempts of a compare-and-set. In each round one writer wins, so it takes extreme contention."""


ENDED = "the session ended, or got a new id, shortly before this request; nothing was saved"


class RequestContext(Protocol):
    """The request of a session."""

    admission: Admission
    """Says which anonymous sessions may be started and changed."""
    closed: bool
    """True once the headers of the response leave. No new cookie can be sent then."""
    streams: bool
    """Whether the response's body is made while it is sent. Changes are saved at its end."""

    def read_id(self) -> str | None:
        """Return the id in the request's cookie; None without a genuine cookie."""
        ...

    def describe_client(self) -> dict[str, str]:
        """Return address and browser of the client, as `SessionOptions.remember_client` keeps them."""
        ...

    def describe_route(self) -> str:
        """Return method and rule of the request, for the log: paths may have ids in them."""
        ...

    def cookie_refusal(self) -> str | None:
        """Return the reason why a browser would not keep or return a cookie of this response; None if it would."""
        ...

    def notify(self, signal: NamedSignal, key: str) -> None:
        """Send one of `signals`; `key` is the SHA-256 of a session's id."""
        ...


class SessionRecord:
    """One session, not loaded yet. `session_id` None: a session that does not exist yet."""

    def __init__(self, store: Store, options: SessionOptions, request: RequestContext, session_id: str | None) -> None:
        self.store = store
        self.options = options
        self.request = request
        self.id = session_id
        self.key = store.cookie.to_key(session_id) if session_id is not None else None
        self.record: Record | None = None
        self.mark: SessionMark | None = None
        """What remains of the session, if it was found to have ended a moment ago."""
        self._assigned_blindly = False
        """Whether the request had changed something before it learned that the session had ended."""
        self.loaded = session_id is None
        self.fields = Fields(store.codec, options.max_bytes)
        self.touched = False
        """Whether this request created the session, or sent an update that was applied."""

    @property
    def key_hash(self) -> str | None:
        """The SHA-256 of the id, for logs and signals, whatever the store's key is."""
        return self.store.cookie.to_hash(self.key) if self.key is not None else None

    def notify(self, signal: NamedSignal) -> None:
        """Send a signal about this session."""
        assert self.key_hash is not None
        self.request.notify(signal, self.key_hash)

    # ---- load

    def load(self) -> Record | None:
        """Return the record; the store is asked at most once. Signals `session_absent` where there is none."""
        if not self.loaded:
            self.load_again()
            if self.record is None:
                self.notify(signals.session_absent)
        return self.record

    def load_again(self) -> Record | None:
        """Ask the store for the record. One with a corrupt value is quarantined and counts as absent."""
        assert self.key is not None
        found = read_record(self.store, self.key, self._read)
        self.mark = found if isinstance(found, SessionMark) else None
        self._assigned_blindly = self.mark is not None and self.fields.is_changed()
        self.record = found if isinstance(found, Record) else None
        self.loaded = True
        return self.record

    def _read(self) -> Record | SessionMark | None:
        """Ask the store once, and decode the fields of a record. Raises `CorruptRecord`."""
        assert self.key is not None
        found = self.store.load(self.key)
        if isinstance(found, Record):
            try:
                check_reserved(found.fields, self.store.codec)
                self.fields.read(found.fields)
            except DecodeError as error:
                raise CorruptRecord(str(error), found.fields) from error
        return found

    @property
    def own_lifetime(self) -> SessionLifetime:
        """The lifetime this session was given, as far as is known without asking the store."""
        own = self.fields.values.get(COOKIE_KEY)
        return DEFAULT_LIFETIME if own is None else convert(own, SessionLifetime)

    @property
    def lifetime(self) -> Lifetime:
        """Both timeouts of this session."""
        if (own := self.own_lifetime) is DEFAULT_LIFETIME:
            return self.options.lifetime
        return own.timeouts(self.options, self.record.created if self.record else None)

    # ---- save

    @property
    def begins_again(self) -> bool:
        """Whether the session was ended elsewhere, and all that the request changed came after it had learned that.

        Then the changes are those of an anonymous visitor; see `renewal.begin_again`.
        """
        return (
            self.mark is not None
            and self.mark.successor == ELSEWHERE
            and not self._assigned_blindly
            and bool(self.fields.pending().set)
        )

    def commit(self, options: SessionOptions) -> SessionRecord:
        """Save at the end of a request by `options`: send changes, a new session, a touch, or nothing.

        Returns the session that the request has from then on, which may be a new one.
        """
        if not self.loaded and self.fields.pending().set and self.request.admission.is_crowded():
            self.load()  # to see whether it has an owner
        if self.loaded and self.record is None:
            is_changed = bool(self.fields.pending().set)
            if self.mark is not None:
                if is_changed:
                    raise SessionEnded(ENDED)
                return self
            if is_changed:
                return self._create_pending()
            if options.save_uninitialized:
                with suppress(AnonymousRefused):  # there is nothing to lose
                    return self._create_pending()
            return self
        saved = self.save()
        if saved is not self or self.touched:
            return saved
        if options.resave is Resave.ALWAYS:
            # Where a field differs from what was read, another request has saved the session since.
            self.update(Changes(self.fields.stored, expect=self.fields.stored))
        elif self._touch_due():
            self.update(Changes())
        return self

    def save(self) -> SessionRecord:
        """Send the changes, if any. Raises `SessionEnded` if the session has ended since it was read, or a moment ago.

        A session that does not exist and was not read is replaced by a new one, as if a read had found none.
        """
        pending = self.fields.pending()
        if not (pending.set or pending.delete):
            return self
        if pending.set:
            self._refuse_growth()
        blind = not self.loaded
        outcome = self.update(pending)
        if outcome is Outcome.APPLIED:
            self.fields.mark_saved(pending)
            return self
        if not blind:
            raise SessionEnded("the session ended while this request worked with it; nothing was saved")
        self.notify(signals.session_absent)
        if outcome is Outcome.ENDED:
            raise SessionEnded(ENDED)
        return self._create_pending()

    def update(self, changes: Changes) -> Outcome:
        """Send `changes`. Raises `SessionTooLarge` where they do not fit.

        The session's lifetime is part of an update. Without a read it is unknown, so that the update applies only to a
        session without a lifetime of its own. Where it does not apply, the session is read and the update sent again:
        two round trips more.
        """
        assert self.key is not None
        blind = not self.loaded
        sent = replace(changes, expect={**changes.expect, **BLIND_EXPECT}) if blind else changes
        outcome = self.store.update(self.key, sent, self.lifetime)
        if blind and outcome is Outcome.CONFLICT:
            if self.load() is not None:
                outcome = self.store.update(self.key, changes, self.lifetime)
            else:
                outcome = Outcome.ABSENT if self.mark is None else Outcome.ENDED
        if outcome is Outcome.TOO_LARGE:
            raise SessionTooLarge(f"the session would exceed {self.options.max_bytes} bytes; nothing was saved")
        self.touched = self.touched or outcome is Outcome.APPLIED
        return outcome

    def compare_and_set(self, key: str, function: Callable[[Any], Any], default: Any) -> Any:
        """Set a field to `function(current value)` and return that.

        The session must be loaded and have nothing pending. One round trip, two more for each conflict.
        """
        fields = self.fields
        if self.mark is not None:
            raise SessionEnded(ENDED)
        if self.record is None:
            value = function(deepcopy(fields.values.get(key, default)))
            fields.assign(key, value)
            return value
        self._refuse_growth()
        for _ in range(MAX_CONFLICTS):
            before = fields.stored.get(key)
            value = function(deepcopy(default) if before is None else fields.codec.decode(before))
            after = fields.encode(key, value)
            if after == before:
                return value
            change = Changes({key: after}, expect={key: before}, max_bytes=fields.max_bytes)
            outcome = self.update(change)
            if outcome is Outcome.APPLIED:
                fields.mark_saved(change)
                fields.values[key] = value
                return value
            if outcome is Outcome.CONFLICT:
                self.notify(signals.session_conflict)
            if outcome in {Outcome.ABSENT, Outcome.ENDED} or self.load_again() is None:
                raise SessionEnded("the session ended before this change; it was not saved")
        raise StoreUnavailable(f"gave up after {MAX_CONFLICTS} conflicts on one key")

    def _refuse_growth(self) -> None:
        """Raise `StoreNearlyFull` for a session that is known to be anonymous, where the store is crowded."""
        if self.record is not None and self.record.owner is None and self.request.admission.is_crowded():
            self.notify(signals.session_refused)
            raise StoreNearlyFull("the session store is nearly full, and the rest is for users who are logged in")

    def _touch_due(self) -> bool:
        """Return whether enough of the idle timeout has passed, and a touch would change anything."""
        if self.record is None or self.record.final:
            return False
        return self.record.ttl <= self.lifetime.idle * (1 - TOUCH_FRACTION)

    # ---- create and renew

    def create(self, fields: dict[str, bytes], owner: str | None = None, created: float | None = None) -> SessionRecord:
        """Create a session under a new id, with the values of this one.

        Raises `SessionTooLarge` where they exceed the bound, `CookieNotSendable` where no browser would return the id.
        """
        if (refusal := self.request.cookie_refusal()) is not None:
            raise CookieNotSendable(f"no session can be created: {refusal}")
        store, options = self.store, self.options
        adds = find_capability(store, AddsBytes)
        self.fields.check_size(encoded_size(fields) if adds is None else adds.stored_size(fields, owner))
        own = self.own_lifetime if COOKIE_KEY in fields else DEFAULT_LIFETIME
        if created is None and own.expires is not None:
            created = store.ping()  # only the store's clock can tell how long it is until `expires`
        lifetime = own.timeouts(options, created)
        for _ in range(3):  # a collision can only come from an application's own generate_id
            session_id = options.generate_id()
            if not store.cookie.is_canonical(session_id):
                raise OptionsError("generate_id must return 16 to 128 characters of A-Z a-z 0-9 - _")
            began = store.create(store.cookie.to_key(session_id), fields, owner, lifetime, created)
            if began is not None:
                new = SessionRecord(store, options, self.request, session_id)
                new.record = Record(fields, owner, began, lifetime.idle)
                new.loaded = new.touched = True
                new.fields = self.fields.copy(fields)
                return new
        raise OptionsError("generate_id returned ids that are taken, three times in a row: it must be unpredictable")

    def _create_pending(self) -> SessionRecord:
        new = self.create_anonymous()
        new.notify(signals.session_created)
        return new

    def create_anonymous(self) -> SessionRecord:
        """Create a session with the pending changes. Raises `AnonymousRefused`."""
        try:
            self.request.admission.check_new(self.request.describe_client()["address"])
        except AnonymousRefused:
            self.request.notify(signals.session_refused, "")
            raise
        return self.create(dict(self.fields.pending().set))

    def discard(self) -> None:
        """Delete a session whose id was never sent. Best effort: otherwise it expires."""
        assert self.key is not None
        with suppress(StoreUnavailable):
            self.store.delete(self.key)

    def shorten(self) -> None:
        """Let a session whose id was never sent expire with the mark that may name it. Best effort."""
        assert self.key is not None
        with suppress(StoreUnavailable):
            self.store.update(self.key, Changes(), replace(self.lifetime, idle=MARK_SECONDS))
