"""Session: a lazy, change-tracking mapping over one record of a store.

Nothing is asked of the store before something is read, and nothing is sent to it at the end but what changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from copy import deepcopy
from enum import Enum
from typing import Any

from blinker import NamedSignal
from flask.sessions import SessionMixin

from . import events
from .codec import DecodeError
from .cookie import is_canonical, key_of
from .fields import Fields, others_changes
from .options import OptionsError, Resave, SessionOptions, Unset
from .store import Changes, Outcome, Record, SessionEnded, SessionTooLarge, Store, StoreUnavailable

log = logging.getLogger("nodes.sessions")

MAX_CONFLICTS = 200
"""How often `mutate` tries again: every round one writer wins, so only a pathological crowd gets there."""
TOUCH_FRACTION = 0.1
"""A touch is skipped until this part of the idle timeout has passed since the last one."""


class CookieAction(Enum):
    """What the response has to tell the browser."""

    NONE = "none"
    SET = "set"
    CLEAR = "clear"


class Session(SessionMixin):
    """One visitor's session during one request; `flask.session` stands for it.

    Keys are strings; values are what the store's codec can hold. Whatever was assigned, deleted, or changed inside a
    value that was handed out is saved when the response is made. For a value that concurrent requests change as well,
    use `mutate`. `StoreUnavailable` can be raised wherever the store is needed; nothing is assumed in its place.
    """

    def __init__(
        self, store: Store, options: SessionOptions, session_id: str | None, notify: Callable[[NamedSignal, str], None]
    ) -> None:
        self._store = store
        self._options = options
        self._notify = notify
        self._brought_cookie = session_id is not None
        self._detached = False
        self.used = False
        """Whether this request's answer depends on the session, so that no cache may share it."""
        self.cookie_action = CookieAction.NONE
        self._adopt(session_id)

    def _adopt(self, session_id: str | None) -> None:
        """Makes this the session of `session_id`, of which nothing is known yet; None: a session to be made."""
        self.id = session_id
        self._key = key_of(session_id) if session_id is not None else None
        self._record: Record | None = None
        self._loaded = session_id is None
        self._fields = Fields(self._store.codec, self._options.max_bytes)

    # ---- what is known without asking, and what asks

    @property
    def key_hash(self) -> str | None:
        """The store's key, for logs; it logs nobody in. None where there is no session. Asks nothing."""
        return self._key

    @property
    def exists(self) -> bool:
        """Whether the store has this session."""
        self._load()
        return self._record is not None

    @property
    def is_new(self) -> bool:
        """Whether this visitor has no session yet."""
        return not self.exists

    @property
    def owner(self) -> str | None:
        """Who is logged in; None: nobody. Only `renew` changes it, so it never changes without a new id."""
        self._load()
        return self._record.owner if self._record else None

    @property
    def created(self) -> float | None:
        """When the session was made or last renewed, in seconds since the epoch by the store's clock."""
        self._load()
        return self._record.created if self._record else None

    def _load(self) -> None:
        self.used = True
        if not self._loaded:
            assert self._key is not None
            self._record = self._fetch(self._key)
            self._loaded = True
            if self._record is None:
                self._notify(events.session_expired, self._key)

    def _fetch(self, key: str) -> Record | None:
        """Reads the record. One with a damaged value is set aside and counts as absent."""
        record = self._store.load(key)
        if record is None:
            return None
        try:
            self._fields.read(record.fields)
        except DecodeError as error:
            log.error("session %s is damaged and was set aside: %s", key, error)  # noqa: TRY400 - a line, no trace
            self._store.set_aside(key)
            return None
        return record

    # ---- the mapping

    def __getitem__(self, key: str) -> Any:
        self.used = True
        if not self._fields.assigned(key):
            self._load()
        return self._fields.get(key)

    def __contains__(self, key: object) -> bool:
        self._load()
        return key in self._fields.values

    def __setitem__(self, key: str, value: Any) -> None:
        """Assigns without reading. TypeError for what can't be stored, `SessionTooLarge` for what would not fit."""
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are strings, not {type(key).__name__}: {key!r}")
        self.used = True
        self._fields.assign(key, value)

    def __delitem__(self, key: str) -> None:
        self._load()
        self._fields.delete(key)

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(list(self._fields.values))

    def __len__(self) -> int:
        self._load()
        return len(self._fields.values)

    def clear(self) -> None:
        """Removes all data. Id and owner stay: to log out, `end`."""
        for key in self:
            del self[key]

    # ---- what is saved at once: compare-and-set, renewal, the end

    def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Sets `key` to `function(current value)` and returns it; loses nothing to concurrent requests.

        `function` gets a value of its own (a copy of `default` where the key is missing), returns the new one, and may
        be called several times. Saved when this returns: two round trips, two more for each conflict. A session that
        has yet to be made is known to nobody else; there it is an assignment. Raises `SessionEnded` where the session
        ended meanwhile, `SessionTooLarge`, `StoreUnavailable`.
        """
        self._load()
        fields = self._fields
        if self._record is None:
            self[key] = value = function(deepcopy(fields.values.get(key, default)))
            return value
        self._write(fields.pending())  # what this request did to the session before comes first
        assert self._key is not None
        for _ in range(MAX_CONFLICTS):
            before = fields.stored.get(key)
            value = function(deepcopy(default) if before is None else self._store.codec.decode(before))
            after = fields.encode(key, value)
            if after == before:
                return value
            change = Changes({key: after}, expect={key: before}, max_bytes=self._options.max_bytes)
            outcome = self._update(change)
            if outcome is Outcome.APPLIED:
                fields.saved(change)
                fields.values[key] = value
                return value
            if outcome is Outcome.CONFLICT:
                self._notify(events.session_conflict, self._key)
            if outcome is Outcome.ABSENT or self._fetch(self._key) is None:
                raise SessionEnded("the session ended before this change; it was not saved")
        raise StoreUnavailable(f"gave up after {MAX_CONFLICTS} conflicts on one key")

    def renew(self, owner: str | None = None) -> None:
        """Moves the session to a new id, as must be done at login: the data stays, the old id dies everywhere.

        `owner` becomes who is logged in; None leaves it as it is. The absolute timeout starts anew. Three round trips:
        read, create, delete; in that order, so that a failure leaves the visitor with the session they had. What a
        concurrent request saved under the old id between them is carried over.
        """
        self._load()
        old_key, old = self._key, self._record
        mine, before = self._fields.pending(), self._fields.stored
        fields = mine.applied_to(before)
        owner = owner if owner is not None or old is None else old.owner
        session_id, record = self._create(fields, owner)
        last = self._store.delete(old_key) if old is not None and old_key is not None else None
        if last is not None and (late := others_changes(before, last.fields, mine)) is not None:
            self._store.update(key_of(session_id), late, self._options.lifetime)
            fields = late.applied_to(fields)
        self._become(session_id, record, fields)
        self._notify(events.session_renewed if old is not None else events.session_created, key_of(session_id))

    def _create(self, fields: dict[str, bytes], owner: str | None) -> tuple[str, Record]:
        self._fields.check_size(fields)
        lifetime = self._options.lifetime
        for _ in range(3):  # a collision can only come from an application's own generate_id
            session_id = self._options.generate_id()
            if not is_canonical(session_id):
                raise OptionsError("generate_id must return 16 to 128 characters of A-Z a-z 0-9 - _")
            created = self._store.create(key_of(session_id), fields, owner, lifetime)
            if created is not None:
                return session_id, Record(fields, owner, created, min(lifetime.idle, lifetime.absolute))
        raise OptionsError("generate_id returned ids that are taken, three times in a row: it must be unpredictable")

    def _become(self, session_id: str, record: Record, fields: dict[str, bytes]) -> None:
        self.id, self._key = session_id, key_of(session_id)
        self._record, self._loaded = record, True
        self._fields.replaced(fields)
        self.cookie_action = CookieAction.SET

    def end(self) -> None:
        """Logs out: the session is deleted at the store before this returns, and the cookie will be cleared.

        No request in flight can bring it back. What is written afterwards starts a new session. One round trip.
        """
        self.used = True
        if self._key is not None and self._store.delete(self._key) is not None:
            self._notify(events.session_ended, self._key)
        self._adopt(None)
        self.cookie_action = CookieAction.CLEAR if self._brought_cookie else CookieAction.NONE

    def unset(self) -> None:
        """Takes the session off this request; `SessionOptions.unset` says what becomes of it."""
        if self._options.unset is Unset.DESTROY:
            self.end()
        self._detached = True

    # ---- the end of the request

    def commit(self) -> None:
        """Saves what changed and decides about the cookie; called once, before the headers leave.

        One round trip where something changed, a session is made or a touch is due; otherwise none. Raises
        `SessionEnded` where changes were not saved because the session is gone.
        """
        options = self._options
        if self._detached:
            return
        if options.rolling or options.save_uninitialized or options.resave is Resave.ALWAYS:
            self._load()
        pending = self._fields.pending()
        if self._loaded and self._record is None:
            if pending.set or options.save_uninitialized:
                self._make(pending)
        elif self._save(pending):
            self._send_cookie_if(options.rolling or options.max_age is not None)
        else:
            self._send_cookie_if(options.rolling)

    def _save(self, pending: Changes) -> bool:
        """Sends what is due of an existing session; whether anything was."""
        if pending.set or pending.delete:
            self._write(pending)
        elif self._options.resave is Resave.ALWAYS:
            # Where a field is no longer what was read, somebody else has saved the session since.
            self._update(Changes(self._fields.stored, expect=self._fields.stored))
        elif self._touch_due():
            self._update(Changes())
        else:
            return False
        return True

    def _send_cookie_if(self, due: bool) -> None:
        if due and self.cookie_action is CookieAction.NONE:
            self.cookie_action = CookieAction.SET

    def _make(self, pending: Changes) -> None:
        fields = dict(pending.set)
        session_id, record = self._create(fields, None)
        self._become(session_id, record, fields)
        self._notify(events.session_created, key_of(session_id))

    def _write(self, pending: Changes) -> None:
        if not (pending.set or pending.delete):
            return
        if self._update(pending) is Outcome.APPLIED:
            self._fields.saved(pending)
        elif self._loaded:
            raise SessionEnded("the session ended while this request worked with it; nothing was saved")
        else:  # written without a read: as if the read had found nobody
            assert self._key is not None
            self._notify(events.session_expired, self._key)
            self._make(pending)

    def _update(self, changes: Changes) -> Outcome:
        assert self._key is not None
        outcome = self._store.update(self._key, changes, self._options.lifetime)
        if outcome is Outcome.TOO_LARGE:
            raise SessionTooLarge(f"the session would exceed {self._options.max_bytes} bytes; nothing was saved")
        return outcome

    def _touch_due(self) -> bool:
        idle_left = self._options.idle_timeout * (1 - TOUCH_FRACTION)
        return self._record is not None and not self._record.final and self._record.ttl <= idle_left
