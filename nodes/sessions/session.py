"""The session of one request: a mapping that is loaded when it is first read, and saves only what changed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Self

from flask.sessions import SessionMixin
from msgspec import structs

from . import renewal
from .codec import DecodeError
from .fields import COOKIE_KEY, RESERVED, SessionLifetime, convert, to_application_key, to_field
from .options import Resave, SessionOptions, Unset
from .persistence import ENDED, RequestContext, SessionRecord
from .store import Changes, LoginTooOld, Outcome, SessionEnded, SessionError, Store, StoreUnavailable

log = logging.getLogger(__package__)

_TOO_LATE = "the response has begun, and no session can begin any more: begin it before"


class CookieAction(Enum):
    """The effect of the response on the browser's cookie."""

    NONE = "none"
    SET = "set"
    CLEAR = "clear"


class Session(SessionMixin):
    """One visitor's session during one request; `flask.session` is a proxy for it.

    Keys are strings; values are of the types that the store's codec can encode. Assignments, deletions and changes
    inside a value that was read are saved with the response. For a value that concurrent requests change too, use
    `mutate`. `StoreUnavailable` can be raised wherever the store is needed.
    """

    def __init__(self, store: Store, options: SessionOptions, request_context: RequestContext) -> None:
        self._store = store
        self._options = options
        self._record: SessionRecord | None = None
        self._brought_cookie = False
        self._detached = False
        self.request_context = request_context
        self._modified: bool | None = None
        self._cleared: SessionRecord | None = None
        """The session that `clear` left, until `commit` ends it."""
        self.used = False
        """Whether the response depends on the session, so that no cache may share it."""
        self.cookie_action = CookieAction.NONE

    # ---- the record behind it

    def _unloaded(self) -> SessionRecord:
        """Return the record, which may not be loaded yet. The cookie is verified on the first call."""
        if self._record is None:
            session_id = self.request_context.read_id()
            self._brought_cookie = session_id is not None
            self._record = self._new_record(session_id)
        return self._record

    def _load(self) -> SessionRecord:
        self.used = True
        record = self._unloaded()
        if not record.loaded:
            record.load()
        return record

    def _new_record(self, session_id: str | None) -> SessionRecord:
        return SessionRecord(self._store, self._options, self.request_context, session_id)

    def _replace(self, record: SessionRecord) -> SessionRecord:
        """Continue with `record`. Where it is another one, the browser gets its cookie."""
        if record is not self._record:
            self._record = record
            self.cookie_action = CookieAction.SET
        return record

    def _check_late(self) -> None:
        """Refuse a change that a stream would lose, because its session would have to begin there.

        A stream's changes to an existing session are saved at its end. After any other response they are lost, as in
        Flask, with a line in the log.
        """
        if not self.request_context.closed:
            return
        if not self.request_context.streams:
            log.warning("a session was changed after the response; this is not saved")
        elif self._load().record is None:
            raise RuntimeError(_TOO_LATE)

    # ---- the mapping: the application's keys and values

    def __getitem__(self, key: str) -> Any:
        self.used = True
        if not isinstance(key, str):
            raise KeyError(key)
        field = to_field(key)
        fields = self._unloaded().fields
        if not fields.is_assigned(field):
            self._load()
        return fields.get(field)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and to_field(key) in self._load().fields.values

    def __setitem__(self, key: str, value: Any) -> None:
        """Assign without a read. Raises TypeError for what can't be stored, `SessionTooLarge` for what does not fit."""
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are strings, not {type(key).__name__}: {key!r}")
        self._assign(to_field(key), value)

    def _assign(self, field: str, value: Any) -> None:
        self._check_late()
        self.used = True
        self._unloaded().fields.assign(field, value)
        self._modified = None

    def __delitem__(self, key: str) -> None:
        fields = self._load().fields
        if not isinstance(key, str):
            raise KeyError(key)
        self._check_late()
        fields.delete(to_field(key))
        self._modified = None

    def __iter__(self) -> Iterator[str]:
        keys = map(to_application_key, self._load().fields.values)
        return iter([key for key in keys if key is not None])

    def __len__(self) -> int:
        values = self._load().fields.values
        return len(values) - sum(key in values for key in RESERVED)

    def __or__(self, other: object) -> dict[Any, Any]:
        return dict(self) | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: object) -> dict[Any, Any]:
        return dict(other) | dict(self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def copy(self) -> dict[str, Any]:
        """Return the data as a dict."""
        return dict(self)

    def clear(self) -> None:
        """Remove everything: data, owner and lifetime. The session ends at the store with the response.

        This is the logout of many Flask applications, and the beginning of their login: what is written afterwards goes
        into a new session with a new id. Until then a failure leaves the visitor with the session they had.
        """
        if self.request_context.closed and self.request_context.streams:
            self.end()
            return
        self._check_late()
        self.used = True
        record = self._unloaded()
        if record.key is not None:
            self._end_cleared()
            self._cleared = record
        self._record, self._modified, self.cookie_action = self._new_record(None), None, CookieAction.NONE

    def _take_back(self) -> None:
        """Undo `clear`, for an operation on the session of the cookie."""
        if self._cleared is not None:
            self._record, self._cleared = self._cleared, None

    def _end_cleared(self) -> None:
        """End the session that `clear` left. Where that fails, a session that took its place is dropped."""
        if (cleared := self._cleared) is None:
            return
        try:
            outcome = renewal.end(cleared)
        except StoreUnavailable:
            if self.cookie_action is CookieAction.SET and self._record is not None:
                self._record.discard()
                self.cookie_action = CookieAction.NONE
            raise
        self._cleared = None
        if self.cookie_action is CookieAction.NONE and (outcome is not Outcome.ENDED or cleared.record is not None):
            self.cookie_action = CookieAction.CLEAR if self._brought_cookie else CookieAction.NONE

    # ---- the session's own API: id, owner, times

    @property
    def id(self) -> str | None:
        """The id in the cookie. It logs in as this visitor, so it must not appear in logs or pages."""
        return self._unloaded().id

    @property
    def key_hash(self) -> str | None:
        """The SHA-256 of the id, for logs; it cannot be used to log in. None without a session. No round trip."""
        return self._unloaded().key_hash

    @property
    def exists(self) -> bool:
        """Whether the store has this session."""
        return self._load().record is not None

    @property
    def is_new(self) -> bool:
        """Whether this visitor has no session yet."""
        return not self.exists

    @property
    def owner(self) -> str | None:
        """The user who is logged in, or None. Only `renew` changes it, so it never changes without a new id."""
        record = self._load().record
        return record.owner if record else None

    @property
    def created(self) -> float | None:
        """When the session began, at its first write or at the login: seconds since the epoch by the store's clock."""
        record = self._load().record
        return record.created if record else None

    @property
    def auth_time(self) -> float | None:
        """When the user logged in: seconds since the epoch by the store's clock. None where nobody is logged in."""
        return self.created if self.owner is not None else None

    def auth_age(self) -> float | None:
        """Return the seconds since the login by the store's clock, or None. One more round trip."""
        since = self.auth_time
        return None if since is None else self._store.ping() - since

    def require_fresh_login(self, seconds: float) -> None:
        """Raise `LoginTooOld` unless the user logged in within the last `seconds`."""
        age = self.auth_age()
        if age is None or age > seconds:
            raise LoginTooOld(f"this needs a login within the last {seconds:g} seconds: log in again")

    def require_current(self) -> None:
        """Raise `SessionEnded` if the session of the cookie ended, or got a new id, a moment ago.

        For a change that finds nothing to change there, and so would save nothing: what it looks for may be in the
        session with the new id.
        """
        if self._load().mark is not None:
            raise SessionEnded(ENDED)

    # ---- Flask's own attributes. `accessed` is that of `SessionMixin`, which Flask sets.

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether this visitor has no session yet."""
        return self.is_new

    @property
    def modified(self) -> bool:
        """Whether this request changed the session. Assign False to save no change that was made before."""
        if self._modified is not None:
            return self._modified
        return self._record is not None and self._record.fields.is_changed()

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = bool(value)

    @property
    def permanent(self) -> bool:
        """Whether the session and its cookie live for `SessionOptions.permanent_lifetime`."""
        return self._load().own_lifetime.permanent

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if self.permanent is not bool(value):
            self._set_lifetime("permanent", bool(value), "permanent must be True or False")

    # ---- its lifetime

    @property
    def max_age(self) -> float | None:
        """Max-Age of the cookie in seconds: the session's own, which is also its idle timeout, or the options'.

        Assign to it for this session alone; None undoes that. The absolute timeout bounds it. Raises ValueError unless
        it is above 0 and at most `store.LONGEST`.
        """
        own = self._load().own_lifetime
        default = math.ceil(self._options.permanent_lifetime) if own.permanent else self._options.max_age
        return default if own.max_age is None else own.max_age

    @max_age.setter
    def max_age(self, seconds: float | None) -> None:
        self._set_lifetime("max_age", seconds, f"max_age must be above 0 s and at most 100 years, not {seconds!r}")

    @property
    def expires(self) -> datetime | None:
        """When this session ends at the latest, if it was given a date of its own. Assign one with a time zone."""
        own = self._load().own_lifetime.expires
        return None if own is None else datetime.fromtimestamp(own, UTC)

    @expires.setter
    def expires(self, when: datetime | None) -> None:
        if when is not None and when.tzinfo is None:
            raise ValueError(f"expires must have a time zone, not {when}")
        seconds = when.timestamp() if when else None
        self._set_lifetime("expires", seconds, f"expires must be after 1970 and before the year 10000, not {when}")

    def _set_lifetime(self, name: str, value: float | None, error: str) -> None:
        own = structs.asdict(self._load().own_lifetime) | {name: value}
        try:
            convert(own, SessionLifetime)
        except DecodeError:
            raise ValueError(error) from None
        if not own["permanent"]:
            del own["permanent"]
        self._assign(COOKIE_KEY, own)

    # ---- operations that reach the store at once

    def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Set `key` to `function(current value)` and return it; nothing is lost to concurrent requests.

        `function` gets a value of its own (a copy of `default` where the key is missing), returns the new one, and may
        be called several times. The value is saved when this returns: two round trips, two more for each conflict.
        Where the session does not exist yet, this is an assignment, since no other request can know it. Raises
        `SessionEnded` where the session ended meanwhile, `SessionTooLarge`, `StoreUnavailable`.
        """
        record = self._load()
        if record.record is not None:
            record.save()  # what this request did to the session before comes first
        elif self.request_context.closed:
            raise RuntimeError(_TOO_LATE)
        return record.compare_and_set(to_field(key), function, default)

    def renew(
        self, owner: str | None = None, *, keep: bool = True, confirm: Callable[[], object] | None = None
    ) -> None:
        """Move the session to a new id, as must be done at login: the data stays, the old id is invalid everywhere.

        With `owner` it is a login: `owner` is logged in from now on, and `created`, `auth_time` and the absolute
        timeout start again. Without, they stay as they are. `keep=False` drops data and owner. Three round trips: read,
        create, retire; in this order, so that a failure leaves the visitor with the session they had. What a concurrent
        request saved under the old id meanwhile is carried over. `confirm` is called between create and retire:
        where it raises, the renewal is undone. A login checks there that its user was not disabled meanwhile.

        Where a login of this user has renewed the session a moment ago, this one goes on with the result, under the id
        that the other one sends too; see `renewal.py`.

        Raises `SessionEnded` where a concurrent request ended the session, unless this is a login, or renewed it;
        `TooManySessions` where `SessionOptions.session_limit` refuses the login; `SessionEnded` where later concurrent
        logins of this user put this one beyond the limit; `CookieNotSendable` where no browser would keep the new
        cookie. Without a session and without `owner` it does nothing.
        """
        record = self._load()
        if owner is None and record.record is None:
            if not keep and record.mark is None:
                self._record = self._new_record(None)
            return
        remember = self._options.remember_client and owner is not None
        client = self.request_context.describe_client() if remember else None
        self._replace(renewal.renew(record, owner, keep, client, confirm))
        self._end_cleared()

    def end(self) -> None:
        """Log out: the session is deleted at the store before this returns, and the cookie will be cleared.

        No request in flight can bring it back. What is written afterwards starts a new session. Where a login has
        renewed the session a moment ago, the renewed one ends. One round trip, two more for each renewal. Where another
        request ended it a moment ago, the cookie is left alone: the browser may have a newer one.
        """
        self.used = True
        self._take_back()
        record = self._unloaded()
        was_alive = record.record is not None
        try:
            outcome = renewal.end(record) if record.key is not None else Outcome.ABSENT
        except StoreUnavailable:
            if self.cookie_action is CookieAction.SET:  # created in this request: no browser gets to know its id
                self._record, self.cookie_action = self._new_record(None), CookieAction.NONE
            raise
        if outcome is Outcome.ENDED and not was_alive:
            self.cookie_action = CookieAction.NONE
            return
        self._record = self._new_record(None)
        self.cookie_action = CookieAction.CLEAR if self._brought_cookie else CookieAction.NONE

    def unset(self) -> None:
        """Detach the session from this request; `SessionOptions.unset` decides whether the store keeps it."""
        if self._options.unset is Unset.DESTROY:
            self.end()
        self._detached = True

    def reload(self) -> None:
        """Read the session again and drop the unsaved changes of this request. Raises `SessionEnded`."""
        self.used = True
        self._take_back()
        self._record = self._new_record(self._unloaded().id)
        if self._record.load() is None:
            raise SessionEnded("the session to reload does not exist")

    def touch(self) -> None:
        """Restart the idle timeout now; at the end of a request, small steps are skipped. Raises `SessionEnded`."""
        self.used = True
        record = self._unloaded()
        if record.key is not None and record.update(Changes()) is not Outcome.APPLIED:
            raise SessionEnded("the session ended before it was touched")

    def save(self) -> None:
        """Save the changes now instead of with the response. Later changes are saved with the response."""
        self.used = True
        self.commit(self._options)

    # ---- the end of the request

    def commit(self, options: SessionOptions) -> None:
        """Save the changes and decide about the cookie by `options`. Called before the headers leave.

        One round trip where something changed, a session is created or a touch is due; otherwise none. Raises
        `SessionEnded` where changes were not saved because the session has ended.
        """
        reads = options.rolling or options.save_uninitialized or options.resave is Resave.ALWAYS
        if self._detached or self._modified is False or (self._record is None and not reads):
            return
        record = self._load() if reads else self._unloaded()
        before = record.fields.stored
        record = self._replace(record.commit(options))
        after = record.fields.stored
        if after is not before:
            self._modified = True
        changed = before.get(COOKIE_KEY) != after.get(COOKIE_KEY)
        is_refreshed = after is not before or (options.refresh and (record.touched or record.own_lifetime.permanent))
        is_due = options.rolling or changed or (is_refreshed and self.cookie_lifetime != (None, None))
        is_absent = record.loaded and record.record is None
        if is_due and not is_absent and self.cookie_action is CookieAction.NONE:
            self.cookie_action = CookieAction.SET
        self._end_cleared()

    def save_late(self) -> None:
        """Save what a stream changed in a session that exists. Called at the end of the stream."""
        record = self._record
        if self._detached or self._modified is False or record is None or record.key is None:
            return
        try:
            record.save()
        except SessionError as error:
            log.warning("what a stream changed in its session was not saved: %s", error)

    @property
    def cookie_lifetime(self) -> tuple[int | None, datetime | None]:
        """Max-Age in seconds and Expires for the cookie, as far as they are known without a round trip."""
        own = self._unloaded().own_lifetime
        if own.expires is not None:
            return None, datetime.fromtimestamp(own.expires, UTC)
        if own.permanent and own.max_age is None:
            seconds = self._options.permanent_lifetime
            return math.ceil(seconds), datetime.now(UTC) + timedelta(seconds=seconds)
        # Rounded up: the cookie never ends before the session, and Max-Age=0 would delete it.
        return (self._options.max_age if own.max_age is None else math.ceil(own.max_age)), None
