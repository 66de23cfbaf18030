"""Session: a lazy, change-tracking mapping over one record of a store.

Nothing is asked of the store before something is read, and nothing is sent to it at the end but what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from . import events
from .mapping import Mapping
from .options import Resave, SessionOptions, Unset
from .own_fields import COOKIE_KEY, field_of
from .own_life import OwnLife
from .renewal import renew
from .saving import commit, mutate, write
from .store import Changes, LoginTooOld, Outcome, SessionEnded, Store, StoreUnavailable
from .stored import Notify, Refusal, StoredSession


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
        `Undeliverable` where no browser would keep the new cookie. A visitor without a session has none to move.
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
            stored.notify(events.session_ended)
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
