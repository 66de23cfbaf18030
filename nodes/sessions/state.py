"""The session during one request: its record, what it means for the cookie, and how it is saved at the end.

The application sees it as `SessionData`, its keys and values, and as `Session`, the rest.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from msgspec import structs

from . import logout, renewal
from .codec import DecodeError
from .fields import COOKIE_KEY, SessionLifetime, convert
from .options import Resave, SessionOptions
from .persistence import RequestContext, SessionRecord
from .store import Outcome, SessionError, Store, StoreUnavailable

log = logging.getLogger(__package__)

TOO_LATE = "the response has begun, and no session can begin any more: begin it before"


class CookieAction(Enum):
    """The effect of the response on the browser's cookie."""

    NONE = "none"
    SET = "set"
    CLEAR = "clear"


class SessionState:
    """The session of one request. It reads no cookie and asks no store before it is used."""

    def __init__(self, store: Store, options: SessionOptions, request_context: RequestContext) -> None:
        self.store = store
        self.options = options
        self.request_context = request_context
        self.record: SessionRecord | None = None
        """The record, once the cookie was verified."""
        self.used = False
        """Whether the response depends on the session, so that no cache may share it."""
        self.modified: bool | None = None
        """Whether the session changed, where that is not known from its fields. False: nothing is saved."""
        self.cookie_action = CookieAction.NONE
        self.detached = False
        """Whether the session is left alone from now on."""
        self.answers_outage = False
        """Whether the application answers a `StoreUnavailable`: a session that can't be read is empty meanwhile."""
        self.tears_down = False
        """Whether the functions of `teardown_request` run."""
        self._outage: StoreUnavailable | None = None
        """The error of a read in this request."""
        self._brought_cookie = False
        self._cleared: SessionRecord | None = None
        """The session that `clear` left, until `commit` ends it."""

    # ---- the record behind it

    def unloaded(self) -> SessionRecord:
        """Return the record, which may not be loaded yet. The cookie is verified on the first call."""
        if self.record is None:
            session_id = self.request_context.read_id()
            self._brought_cookie = session_id is not None
            self.record = self.new_record(session_id)
        return self.record

    def load(self) -> SessionRecord:
        """Return the record, loaded: the store is asked at most once.

        While the application answers an outage, a record that can't be read is that of a session that does not exist.
        """
        self.used = True
        record = self.unloaded()
        if record.loaded:
            return record
        try:
            if self._outage is None or not self.answers_outage:
                record.load()
                return record
        except StoreUnavailable as error:
            self._outage = error
            if not self.answers_outage:
                raise
        return self.new_record(None)

    def new_record(self, session_id: str | None) -> SessionRecord:
        """Return a record that is not loaded; without an id one of a session that does not exist."""
        return SessionRecord(self.store, self.options, self.request_context, session_id)

    def replace(self, record: SessionRecord) -> SessionRecord:
        """Continue with `record`. Where it is another one, the browser gets its cookie."""
        if record is not self.record:
            self.record = record
            self.cookie_action = CookieAction.SET
        return record

    def check_late(self) -> None:
        """Refuse a change that a stream would lose, because its session would have to begin there.

        A stream's changes to an existing session are saved at its end. After any other response they are lost, as in
        Flask, with a line in the log.
        """
        if not self.request_context.closed:
            return
        if not self.request_context.streams or (self.tears_down and self.unloaded().key is None):
            log.warning(
                "a session was changed after the response to %s; this is not saved",
                self.request_context.describe_route(),
            )
        elif not self.tears_down and self.load().record is None:
            raise RuntimeError(TOO_LATE)

    def assign(self, field: str, value: Any) -> None:
        """Assign to a field without a read."""
        self.check_late()
        self.used = True
        self.unloaded().fields.assign(field, value)
        self.modified = None

    # ---- its lifetime

    def set_lifetime(self, name: str, value: float | None, error: str) -> None:
        """Set one attribute of the session's own `SessionLifetime`. Raises ValueError with the text `error`."""
        own = structs.asdict(self.load().own_lifetime) | {name: value}
        try:
            convert(own, SessionLifetime)
        except DecodeError:
            raise ValueError(error) from None
        if not own["permanent"]:
            del own["permanent"]
        if name == "permanent" and self.load().record is not None:
            own["since"] = None if value else self.load().store.ping()
        if own["since"] is None:
            del own["since"]
        self.assign(COOKIE_KEY, own)

    # ---- its end

    def clear(self) -> None:
        """Remove everything; see `SessionData.clear`."""
        if self.request_context.closed and self.request_context.streams:
            self.end()
            return
        self.check_late()
        self.used = True
        record = self.unloaded()
        if record.key is not None:
            self.end_cleared()
            self._cleared, self.cookie_action = record, CookieAction.NONE
        self.record, self.modified = self.new_record(None), None

    def take_back(self) -> None:
        """Undo `clear`, for an operation on the session of the cookie."""
        if self._cleared is not None:
            self.record, self._cleared = self._cleared, None

    def end_cleared(self) -> None:
        """End the session that `clear` left. Where that fails, a session that took its place is dropped."""
        if (cleared := self._cleared) is None:
            return
        try:
            outcome = logout.end(cleared)
        except StoreUnavailable:
            if self.cookie_action is CookieAction.SET and self.record is not None:
                self.record.discard()
                self.cookie_action = CookieAction.NONE
            raise
        self._cleared = None
        if self.cookie_action is CookieAction.NONE and (outcome is not Outcome.ENDED or cleared.record is not None):
            self.cookie_action = CookieAction.CLEAR if self._brought_cookie else CookieAction.NONE

    def end(self) -> None:
        """Log out; see `Session.end`."""
        self.used = True
        self.take_back()
        record = self.unloaded()
        was_alive = record.record is not None
        try:
            outcome = logout.end(record) if record.key is not None else Outcome.ABSENT
        except StoreUnavailable:
            if self.cookie_action is CookieAction.SET:  # created in this request: no browser gets to know its id
                self.record, self.cookie_action = self.new_record(None), CookieAction.NONE
            raise
        if outcome is Outcome.ENDED and not was_alive:
            self.cookie_action = CookieAction.NONE
            return
        self.record = self.new_record(None)
        self.cookie_action = CookieAction.CLEAR if self._brought_cookie else CookieAction.NONE

    # ---- the end of the request

    def commit(self, options: SessionOptions) -> None:
        """Save the changes and decide about the cookie by `options`. Called before the headers leave.

        One round trip where something changed, a session is created or a touch is due; otherwise none. Raises
        `SessionEnded` where changes were not saved because the session has ended.
        """
        reads = options.rolling or options.save_uninitialized or options.resave is Resave.ALWAYS
        if self.detached or self.modified is False or (self.record is None and not reads):
            return
        record = self.load() if reads else self.unloaded()
        before = record.fields.stored
        record = self.replace(renewal.begin_again(record) if record.begins_again else record.commit(options))
        after = record.fields.stored
        if after is not before:
            self.modified = True
        changed = before.get(COOKIE_KEY) != after.get(COOKIE_KEY)
        is_refreshed = after is not before or (options.refresh and (record.touched or record.own_lifetime.permanent))
        is_due = options.rolling or changed or (is_refreshed and self.cookie_lifetime != (None, None))
        is_absent = record.loaded and record.record is None
        if is_due and not is_absent and self.cookie_action is CookieAction.NONE:
            self.cookie_action = CookieAction.SET
        self.end_cleared()

    def save_late(self) -> None:
        """Save what a stream changed in a session that exists. Called at the end of the stream."""
        record = self.record
        if self.detached or self.modified is False or record is None or record.key is None:
            return
        try:
            record.save()
        except (SessionError, TypeError) as error:
            log.warning(
                "what the stream of %s changed in its session was not saved: %s",
                self.request_context.describe_route(),
                error,
            )

    @property
    def cookie_lifetime(self) -> tuple[int | None, datetime | None]:
        """Max-Age in seconds and Expires for the cookie, as far as they are known without a round trip."""
        own = self.unloaded().own_lifetime
        if own.expires is not None:
            return None, datetime.fromtimestamp(own.expires, UTC)
        if own.permanent and own.max_age is None:
            seconds = self.options.permanent_lifetime
            return math.ceil(seconds), datetime.now(UTC) + timedelta(seconds=seconds)
        # Rounded up: the cookie never ends before the session, and Max-Age=0 would delete it.
        return (self.options.max_age if own.max_age is None else math.ceil(own.max_age)), None
