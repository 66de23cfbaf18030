"""Session: a lazy, change-tracking mapping over one record of a store.

Nothing is asked of the store before something is read, and nothing is sent to it at the end but what changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from flask.sessions import SessionMixin
from msgspec import structs

from . import signals
from .codec import DecodeError
from .fields import COOKIE_KEY, OWN_KEYS, Life, application_key, field_of, typed
from .options import Resave, SessionOptions, Unset
from .persistence import Notify, Refusal, StoredSession, commit, mutate, renew, write
from .store import Changes, LoginTooOld, Outcome, SessionEnded, Store, StoreUnavailable


class Mapping(SessionMixin):
    """Mixed into `Session`, which knows what is stored, and when it is too late to change it."""

    used: bool

    @property
    def _stored(self) -> StoredSession:
        raise NotImplementedError

    def _load(self) -> StoredSession:
        raise NotImplementedError

    def _refuse_if_closed(self) -> None:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        self.used = True
        field = field_of(key)
        fields = self._stored.fields
        if not fields.assigned(field):
            self._load()
        return fields.get(field)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and field_of(key) in self._load().fields.values

    def __setitem__(self, key: str, value: Any) -> None:
        """Assigns without reading. TypeError for what can't be stored, `SessionTooLarge` for what would not fit."""
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are strings, not {type(key).__name__}: {key!r}")
        self._assign(field_of(key), value)

    def _assign(self, field: str, value: Any) -> None:
        self._refuse_if_closed()
        self.used = True
        self._stored.fields.assign(field, value)

    def __delitem__(self, key: str) -> None:
        fields = self._load().fields
        self._refuse_if_closed()
        fields.delete(field_of(key))

    def __iter__(self) -> Iterator[str]:
        keys = map(application_key, self._load().fields.values)
        return iter([key for key in keys if key is not None])

    def __len__(self) -> int:
        values = self._load().fields.values
        return len(values) - sum(key in values for key in OWN_KEYS)

    def clear(self) -> None:
        """Removes all data. Id, owner and a life of its own stay: to log out, `end`."""
        for key in self:
            del self[key]


class OwnLife:
    """Mixed into `Session`, which knows its options, what is stored, and how to assign a field."""

    _options: SessionOptions

    @property
    def _stored(self) -> StoredSession:
        raise NotImplementedError

    def _load(self) -> StoredSession:
        raise NotImplementedError

    def _assign(self, field: str, value: Any) -> None:
        raise NotImplementedError

    @property
    def max_age(self) -> float | None:
        """Seconds that the cookie lives, and without use the session: its own, or else `SessionOptions.max_age`.

        Assign to it for this session alone, None to undo that. The absolute timeout bounds it. ValueError for what is
        no time, or longer than `store.LONGEST`.
        """
        own = self._load().life.max_age
        return self._options.max_age if own is None else own

    @max_age.setter
    def max_age(self, seconds: float | None) -> None:
        self._live(max_age=seconds)

    @property
    def expires(self) -> datetime | None:
        """When this session ends at the latest, if it was given a date of its own. Assign one with a time zone."""
        own = self._load().life.expires
        return None if own is None else datetime.fromtimestamp(own, UTC)

    @expires.setter
    def expires(self, when: datetime | None) -> None:
        if when is not None and when.tzinfo is None:
            raise ValueError(f"expires {when} needs a time zone")
        self._live(expires=when.timestamp() if when else None)

    def _live(self, **change: Any) -> None:
        own = structs.asdict(self._load().life) | change
        try:
            typed(own, Life)
        except DecodeError as error:
            raise ValueError(f"{change} can't be: {error}") from error
        self._assign(COOKIE_KEY, own)

    @property
    def cookie_life(self) -> tuple[int | None, datetime | None]:
        """Max-Age in seconds and Expires for the cookie, as far as is known without asking."""
        own = self._stored.life
        if own.expires is not None:
            return None, datetime.fromtimestamp(own.expires, UTC)
        # Rounded up: the cookie never ends before the session, and Max-Age=0 would delete it.
        return (self._options.max_age if own.max_age is None else math.ceil(own.max_age)), None


class CookieAction(Enum):
    """What the response has to tell the browser."""

    NONE = "none"
    SET = "set"
    CLEAR = "clear"


class Session(Mapping, OwnLife):
    """One visitor's session during one request; `flask.session` stands for it.

    Keys are strings; values are what the store's codec can hold. Whatever was assigned, deleted, or changed inside a
    value that was handed out is saved when the response is made. For a value that concurrent requests change as well,
    use `mutate`. `StoreUnavailable` can be raised wherever the store is needed; nothing is assumed in its place.

    `read_id` gives the id of a genuine cookie and is called when it is needed; `describe` the client of the request,
    as `SessionOptions.remember_client` keeps it; `refusal` why the client would not keep a cookie.
    """

    def __init__(
        self,
        store: Store,
        options: SessionOptions,
        read_id: Callable[[], str | None],
        describe: Callable[[], dict[str, str]],
        refusal: Refusal,
        notify: Notify,
    ) -> None:
        self._store = store
        self._options = options
        self._read_id = read_id
        self._describe = describe
        self._refusal = refusal
        self._notify = notify
        self._known: StoredSession | None = None
        self._brought_cookie = False
        self._detached = False
        self._closed = False
        self.used = False
        """Whether this request's answer depends on the session, so that no cache may share it."""
        self.cookie_action = CookieAction.NONE

    @property
    def _stored(self) -> StoredSession:
        if self._known is None:
            session_id = self._read_id()
            self._brought_cookie = session_id is not None
            self._known = self._of(session_id)
        return self._known

    def _of(self, session_id: str | None) -> StoredSession:
        return StoredSession(self._store, self._options, self._notify, self._refusal, session_id)

    def _load(self) -> StoredSession:
        self.used = True
        stored = self._stored
        if not stored.loaded:
            stored.load()
        return stored

    # ---- what is known of it

    @property
    def id(self) -> str | None:
        """The id that the cookie carries: whoever knows it is this visitor, so it belongs in no log and no page."""
        return self._stored.id

    @property
    def key_hash(self) -> str | None:
        """The SHA-256 of the id, for logs; it logs nobody in. None where there is no session. Asks nothing."""
        return self._stored.key_hash

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
        """Who is logged in; None: nobody. Only `renew` changes it, so it never changes without a new id."""
        record = self._load().record
        return record.owner if record else None

    @property
    def created(self) -> float | None:
        """When the session began, at its first write or at the login, in seconds since the epoch, the store's clock."""
        record = self._load().record
        return record.created if record else None

    @property
    def auth_time(self) -> float | None:
        """When the user logged in, in seconds since the epoch by the store's clock; None where nobody is logged in."""
        return self.created if self.owner is not None else None

    def auth_age(self) -> float | None:
        """The seconds since the login, by the store's clock: one more round trip. None where nobody is logged in."""
        since = self.auth_time
        return None if since is None else self._store.ping() - since

    def require_fresh_login(self, seconds: float) -> None:
        """Raises `LoginTooOld` unless the user logged in at most so many seconds ago."""
        age = self.auth_age()
        if age is None or age > seconds:
            raise LoginTooOld(f"this needs a login within the last {seconds:g} seconds: log in again")

    # ---- what happens at once

    def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Sets `key` to `function(current value)` and returns it; loses nothing to concurrent requests.

        `function` gets a value of its own (a copy of `default` where the key is missing), returns the new one, and may
        be called several times. Saved when this returns: two round trips, two more for each conflict. A session that
        has yet to be made is known to nobody else; there it is an assignment. Raises `SessionEnded` where the session
        ended meanwhile, `SessionTooLarge`, `StoreUnavailable`.
        """
        stored = self._load()
        if stored.record is not None:
            self._become(write(stored))  # what this request did to the session before comes first
        else:
            self._refuse_if_closed()
        return mutate(stored, field_of(key), function, default)

    def renew(self, owner: str | None = None, *, keep: bool = True) -> None:
        """Moves the session to a new id, as must be done at login: the data stays, the old id dies everywhere.

        With `owner` it is a login: they are who is logged in from now on, and `created`, `auth_time` and the absolute
        timeout start anew. Without, all that stays as it is. `keep=False` leaves data and owner behind. Three round
        trips: read, create, delete; in that order, so that a failure leaves the visitor with the session they had.
        What a concurrent request saved under the old id meanwhile is carried over; if one ended it, that holds:
        `SessionEnded`, unless this is a login. `TooManySessions` where `SessionOptions.session_limit` refuses it,
        `SessionEnded` too where so many later logins came at the same time that this one is among the oldest.
        `CookieNotSendable` where no browser would keep the new cookie. A visitor without a session has none to move.
        """
        stored = self._load()
        if owner is None and stored.record is None:
            if not keep:
                self._known = self._of(None)
            return
        client = self._describe() if self._options.remember_client and owner is not None else None
        self._become(renew(stored, owner, keep, client))

    def end(self) -> None:
        """Logs out: the session is deleted at the store before this returns, and the cookie will be cleared.

        No request in flight can bring it back. What is written afterwards starts a new session. One round trip.
        """
        self.used = True
        stored = self._stored
        try:
            ended = stored.key is not None and self._store.delete(stored.key) is not None
        except StoreUnavailable:
            if self.cookie_action is CookieAction.SET:  # made in this request: no browser knows its id, and none shall
                self._known, self.cookie_action = self._of(None), CookieAction.NONE
            raise
        if ended:
            stored.notify(signals.session_ended)
        self._known = self._of(None)
        self.cookie_action = CookieAction.CLEAR if self._brought_cookie else CookieAction.NONE

    def unset(self) -> None:
        """Takes the session off this request; `SessionOptions.unset` says what becomes of it."""
        if self._options.unset is Unset.DESTROY:
            self.end()
        self._detached = True

    def reload(self) -> None:
        """Reads the session anew and drops what this request changed and has not saved. `SessionEnded` without one."""
        self.used = True
        self._known = self._of(self._stored.id)
        if self._known.load() is None:
            raise SessionEnded("there is no session to read anew")

    def touch(self) -> None:
        """Restarts the idle timeout now, where otherwise small steps are skipped. `SessionEnded` where it is gone."""
        self.used = True
        stored = self._stored
        if stored.key is not None and stored.update(Changes()) is not Outcome.APPLIED:
            raise SessionEnded("the session ended before it was touched")

    def save(self) -> None:
        """Saves what changed now, not when the response is made; there, only what changes after this is saved."""
        self.used = True
        self.commit()

    # ---- the end of the request

    def commit(self) -> None:
        """Saves what changed and decides about the cookie; called before the headers leave.

        One round trip where something changed, a session is made or a touch is due; otherwise none. Raises
        `SessionEnded` where changes were not saved because the session is gone.
        """
        options = self._options
        reads = options.rolling or options.save_uninitialized or options.resave is Resave.ALWAYS
        if self._detached or (self._known is None and not reads):
            return
        stored = self._load() if reads else self._stored
        before = stored.fields.stored.get(COOKIE_KEY)
        stored = self._become(commit(stored))
        changed = before != stored.fields.stored.get(COOKIE_KEY)
        is_due = options.rolling or changed or (stored.touched and self.cookie_life != (None, None))
        is_absent = stored.loaded and stored.record is None
        if is_due and not is_absent and self.cookie_action is CookieAction.NONE:
            self.cookie_action = CookieAction.SET

    def close(self) -> None:
        """The headers leave: what would have to be saved with the response, or told to the browser, is an error now."""
        self._closed, self._refusal = True, _begun
        if self._known is not None:
            self._known.refusal = _begun

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError(
                "the response has begun, and the session is not saved after that: change it before, or use `mutate`"
            )

    def _become(self, stored: StoredSession) -> StoredSession:
        """Goes on with this one, of which the browser has to be told where it is another one."""
        if stored is not self._known:
            self._known = stored
            self.cookie_action = CookieAction.SET
        return stored


def _begun() -> str:  # no method: a session in a cycle would wait for the garbage collector, 1.5 us of each request
    return "the response has begun"
