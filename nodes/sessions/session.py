"""The session's own API beside its data: id, owner, times, and operations that reach the store at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import flask
from flask.sessions import NullSession, SessionMixin
from werkzeug.local import LocalProxy

from . import renewal
from .checks import check_type, describe_type, to_owner
from .data import SessionData, state_of
from .fields import check_key, to_field
from .options import Unset
from .persistence import ENDED
from .state import TOO_LATE, SessionState
from .store import Changes, LoginTooOld, Outcome, SessionEnded


class Session:
    """One visitor's session during one request; `current_session` is a proxy for that of the current request.

    Its keys and values are in `flask.session`. For a value that concurrent requests change too, use `mutate`.
    `StoreUnavailable` can be raised wherever the store is needed.
    """

    __slots__ = ("_state",)

    def __init__(self, state: SessionState) -> None:
        self._state = state

    @classmethod
    def of(cls, data: SessionMixin) -> Session:
        """Return the session whose keys and values are `data`, which is `flask.session` or a test's.

        Raises RuntimeError where the application has no `Sessions`, or no secret, and outside of a request.
        """
        if isinstance(data, LocalProxy):
            data = data._get_current_object()
        if isinstance(data, SessionData):
            return cls(state_of(data))
        if isinstance(data, NullSession) and "sessions" in flask.current_app.extensions:
            raise RuntimeError("no session can be used without a secret: set SECRET_KEY or SessionOptions.secrets")
        if "sessions" in flask.current_app.extensions:
            layer = describe_type(flask.current_app.session_interface)
            raise RuntimeError(
                f"app.session_interface is {layer}, set after Sessions(app, store=...): drop the other one"
            )
        raise RuntimeError("this application has no server-side sessions: create Sessions(app, store=...)")

    @property
    def used(self) -> bool:
        """Whether this request used the session, so that no cache may share the response."""
        return self._state.used

    # ---- id, owner, times

    @property
    def id(self) -> str | None:
        """The id in the cookie. It logs in as this visitor, so it must not appear in logs or pages."""
        return self._state.unloaded().id

    @property
    def key_hash(self) -> str | None:
        """The SHA-256 of the id, for logs; it cannot be used to log in. None without a session. No round trip."""
        return self._state.unloaded().key_hash

    @property
    def exists(self) -> bool:
        """Whether the store has this session."""
        return self._state.load().record is not None

    @property
    def is_new(self) -> bool:
        """Whether this visitor has no session yet."""
        return not self.exists

    @property
    def owner(self) -> str | None:
        """The user who is logged in, or None. Only `renew` changes it, so it never changes without a new id."""
        record = self._state.load().record
        return record.owner if record else None

    @property
    def created(self) -> float | None:
        """When the session began, at its first write or at the login: seconds since the epoch by the store's clock."""
        record = self._state.load().record
        return record.created if record else None

    @property
    def auth_time(self) -> float | None:
        """When the user logged in: seconds since the epoch by the store's clock. None where nobody is logged in.

        With Flask-Login it is None, too, while the login is not fresh: restored from a remember cookie, for example.
        """
        state = self._state
        if self.owner is None or (state.options.flask_login and state.load().fields.values.get("_fresh") is False):
            return None
        return self.created

    def auth_age(self) -> float | None:
        """Return the seconds since the login by the store's clock, or None. One more round trip."""
        since = self.auth_time
        return None if since is None else self._state.store.ping() - since

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
        if self._state.load().mark is not None:
            raise SessionEnded(ENDED)

    # ---- its lifetime

    @property
    def max_age(self) -> float | None:
        """Max-Age of the cookie in seconds: the session's own, which is also its idle timeout, or the options'.

        Assign to it for this session alone; None undoes that. The absolute timeout bounds it. Raises ValueError unless
        it is above 0 and at most `store.LONGEST`.
        """
        own = self._state.load().own_lifetime
        default = math.ceil(self._state.options.permanent_lifetime) if own.permanent else self._state.options.max_age
        return default if own.max_age is None else own.max_age

    @max_age.setter
    def max_age(self, seconds: float | None) -> None:
        self._state.set_lifetime(
            "max_age", seconds, f"max_age must be above 0 s and at most 100 years, not {seconds!r}"
        )

    @property
    def expires(self) -> datetime | None:
        """When this session ends at the latest, if it was given a date of its own. Assign one with a time zone."""
        own = self._state.load().own_lifetime.expires
        return None if own is None else datetime.fromtimestamp(own, UTC)

    @expires.setter
    def expires(self, when: datetime | None) -> None:
        check_type("expires", when, (datetime, type(None)), "a datetime with a time zone or None")
        if when is not None and when.tzinfo is None:
            raise ValueError(f"expires must have a time zone, not {when}")
        seconds = when.timestamp() if when else None
        self._state.set_lifetime(
            "expires", seconds, f"expires must be after 1970 and before the year 10000, not {when}"
        )

    # ---- operations that reach the store at once

    def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Set `key` to `function(current value)` and return it; nothing is lost to concurrent requests.

        `function` gets a value of its own (a copy of `default` where the key is missing), returns the new one, and may
        be called several times. The value is saved when this returns: two round trips, two more for each conflict.
        Where the session does not exist yet, this is an assignment, since no other request can know it. Raises
        `SessionEnded` where the session ended meanwhile, `SessionTooLarge`, `StoreUnavailable`.
        """
        check_key(key)
        if not callable(function):
            raise TypeError(f"function must be a function of the current value, not {function!r}")
        record = self._state.load()
        if record.record is not None:
            record.save()  # what this request did to the session before comes first
        elif self._state.request_context.closed:
            raise RuntimeError(TOO_LATE)
        return record.compare_and_set(to_field(key), function, default)

    def renew(
        self, owner: str | int | None = None, *, keep: bool = True, confirm: Callable[[], object] | None = None
    ) -> None:
        """Move the session to a new id, as must be done at login: the data stays, the old id is invalid everywhere.

        With `owner` it is a login: `owner` is logged in from now on, and `created`, `auth_time` and the absolute
        timeout start again; the data of another user who was logged in until then is dropped. Without, they stay as
        they are. `keep=False` drops data and owner. Three round trips: read,
        create, retire; in this order, so that a failure leaves the visitor with the session they had. What a concurrent
        request saved under the old id meanwhile is carried over. `confirm` is called between create and retire:
        where it raises, the renewal is undone. A login checks there that its user was not disabled meanwhile.

        Where a login of this user has renewed the session a moment ago, this one goes on with the result, under the id
        that the other one sends too; see `marks.py`.

        Raises `SessionEnded` where a concurrent request ended the session, unless this is a login, or renewed it;
        `TooManySessions` where `SessionOptions.session_limit` refuses the login; `SessionEnded` where later concurrent
        logins of this user put this one beyond the limit; `CookieNotSendable` where no browser would keep the new
        cookie. Without a session and without `owner` it does nothing.

        An int as `owner` is stored as str. Raises TypeError for other types, ValueError for a text that not every store
        can hold.
        """
        owner = None if owner is None else to_owner(owner)
        record = self._state.load()
        if owner is None and record.record is None:
            if not keep and record.mark is None:
                self._state.record = self._state.new_record(None)
            return
        remember = self._state.options.remember_client and owner is not None
        client = self._state.request_context.describe_client() if remember else None
        self._state.replace(renewal.renew(record, owner, keep, client, confirm))
        self._state.end_cleared()

    def end(self) -> None:
        """Log out: the session is deleted at the store before this returns, and the cookie will be cleared.

        No request in flight can bring it back. What is written afterwards starts a new session. Where a login has
        renewed the session a moment ago, the renewed one ends. One round trip, two more for each renewal. Where another
        request ended it a moment ago, the cookie is left alone: the browser may have a newer one.
        """
        self._state.end()

    def unset(self) -> None:
        """Detach the session from this request; `SessionOptions.unset` decides whether the store keeps it."""
        if self._state.options.unset is Unset.DESTROY:
            self.end()
        self._state.detached = True

    def reload(self) -> None:
        """Read the session again and drop the unsaved changes of this request. Raises `SessionEnded`."""
        self._state.used = True
        self._state.take_back()
        self._state.record = self._state.new_record(self._state.unloaded().id)
        if self._state.record.load() is None:
            raise SessionEnded("the session to reload does not exist")

    def touch(self) -> None:
        """Restart the idle timeout now; at the end of a request, small steps are skipped. Raises `SessionEnded`."""
        self._state.used = True
        record = self._state.unloaded()
        if record.key is not None and record.update(Changes()) is not Outcome.APPLIED:
            raise SessionEnded("the session ended before it was touched")

    def save(self) -> None:
        """Save the changes now instead of with the response. Later changes are saved with the response."""
        self._state.used = True
        self._state.commit(self._state.options)


current_session: Session = LocalProxy(lambda: Session.of(flask.session))  # type: ignore[assignment]
"""The session of the current request, with its type for annotated views."""
