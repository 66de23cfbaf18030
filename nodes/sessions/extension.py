"""Cookie -> session -> store, around one request; and the one place that decides what a fault means for a response."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import flask
from blinker import NamedSignal
from flask import Flask, Request, Response, jsonify, request
from flask.sessions import SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from werkzeug.http import dump_cookie

from .cookie import values_of
from .fields import COOKIE_KEY
from .options import OptionsError, Priority, Proxy, SameSite, Secure, SessionOptions
from .session import CookieAction, Session
from .store import (
    Changes,
    CookieNotSendable,
    Iterable,
    Lifetime,
    ListsByUser,
    LoginTooOld,
    Outcome,
    Record,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    Store,
    TooManySessions,
    find_capability,
)
from .users import UserSessions, end_listed

log = logging.getLogger("nodes.sessions")

RETRY_AFTER = 1
"""Seconds that a client is asked to wait while the store can't be reached."""
_MAX_BROWSER = 256
_OPTIONS = "nodes.sessions.options"
"""Where a request's environment has the options that `cookie_for` made for it."""


class Sessions:
    """The Flask extension: sessions in `store`, behaving as `options` say.

        app = Flask(__name__)
        Sessions(app, store=RedisStore.from_url("redis://localhost"), options=SessionOptions(secrets=(secret,)))

    It registers handlers for `StoreUnavailable` (503 with Retry-After), `SessionEnded` and `TooManySessions` (409),
    `SessionTooLarge` (413), `LoginTooOld` (401) and `CookieNotSendable` (400). An application may register its own for
    them; they answer for errors in views and at the end of the request. Raises `OptionsError` for options that the
    store can't fulfil.
    """

    def __init__(self, app: Flask | None = None, *, store: Store, options: SessionOptions) -> None:
        self.store = store
        self.options = options
        by_user = find_capability(store, ListsByUser)
        if options.max_sessions is not None and by_user is None:
            raise OptionsError(f"max_sessions {options.max_sessions}: this store can't list the sessions of a user")
        self.users = UserSessions(store, by_user, options, self.notify) if by_user is not None else None
        """The sessions of a user; None where the store can't list them."""
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Gives `app` these sessions in place of Flask's own."""
        app.session_interface = _Interface(self)
        app.extensions["sessions"] = self
        app.register_error_handler(SessionError, answer)

    def notify(self, signal: NamedSignal, key: str) -> None:
        """Sends one of `events`; `key` is the SHA-256 of the session's id."""
        signal.send(self, key=key)

    def end_everyone(self) -> int:
        """Ends every session in the store, whoever's it is, without a signal for each; returns how many.

        TypeError where the store can't go through its sessions.
        """
        all_of_them = find_capability(self.store, Iterable)
        if all_of_them is None:
            raise TypeError("this store can't go through its sessions")
        return len(end_listed(self.store, all_of_them.keys))


_STATUS = {SessionEnded: 409, TooManySessions: 409, SessionTooLarge: 413, LoginTooOld: 401, CookieNotSendable: 400}


def answer(error: SessionError) -> ResponseReturnValue:
    """The default answer to a fault of the session: JSON that says what happened and what was not saved."""
    status = _STATUS.get(type(error), 503)
    response = jsonify(error=str(error) if status != 503 else "the session store can't be reached; try again")
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    response.headers["Cache-Control"] = "no-store"
    return response


class _Interface(SessionInterface):
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._for_all = sessions.options
        self._cookie = sessions.store.cookie
        self._secrets = sessions.options.secret_bytes

    @property
    def _options(self) -> SessionOptions:
        """Those of the request at hand."""
        if self._for_all.cookie_for is None:
            return self._for_all
        if _OPTIONS not in request.environ:
            request.environ[_OPTIONS] = self._for_all.for_request(request)
        options: SessionOptions = request.environ[_OPTIONS]
        return options

    def open_session(self, app: Flask, request: Request) -> Session:  # noqa: ARG002 - Flask's signature
        """The request's session, which has read no cookie and asked nothing of the store."""
        store = self._sessions.store
        if self._cookie.is_shared:
            store = SharedStore(store, lambda: attributes_of(self._options, self._is_secure(request)))
        return Session(
            store,
            self._options,
            lambda: self._read_id(request),
            lambda: _client(request),
            lambda: self._refusal(request),
            self._sessions.notify,
        )

    def _read_id(self, request: Request) -> str | None:
        name = self._name(self._is_secure(request))
        values = values_of(request.environ.get("HTTP_COOKIE", ""), name)
        # Of two cookies of one name, one may have been planted from a sibling domain: neither is believed.
        return self._cookie.verify(values[0], self._secrets) if len(values) == 1 else None

    def _name(self, is_secure: bool) -> str:
        return self._options.cookie_name(is_secure and not self._cookie.is_shared)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commits before the headers leave. A fault here replaces the response: nothing unsaved is ever confirmed."""
        assert isinstance(session, Session)
        was_used = session.used
        try:
            session.commit()
        except CookieNotSendable as error:
            if was_used:
                log.warning("%s", error)
        except SessionError as error:
            _replace(response, app.make_response(app.handle_user_exception(error)))
        session.close()
        has_cookie = session.cookie_action is not CookieAction.NONE and self._refusal(request) is None
        if has_cookie:
            response.headers.add("Set-Cookie", self._set_cookie(session))
        if has_cookie or session.used:
            _keep_from_caches(response)

    def _refusal(self, request: Request) -> str | None:
        """Why no browser would keep the cookie, or send it back to where it is; None where it would."""
        options = self._options
        path = options.path
        needs_tls = options.secure is Secure.ON or options.same_site is SameSite.NONE or options.partitioned
        if needs_tls and not self._is_tls(request):
            return "its cookie is for TLS only, and the request came over plain HTTP"
        if path != "/" and not _is_below(request.script_root + request.path, path):
            return f"its cookie is for {path}, and the request for {request.path}"
        return None

    def _is_secure(self, request: Request) -> bool:
        """Whether the cookie is one for TLS only."""
        if self._options.secure is Secure.AUTO:
            return self._is_tls(request)
        return self._options.secure is Secure.ON

    def _is_tls(self, request: Request) -> bool:
        if self._options.proxy is Proxy.TRUST:
            first = request.environ.get("HTTP_X_FORWARDED_PROTO", "").partition(",")[0]
            return bool(first.strip().lower() == "https")
        if self._options.proxy is Proxy.IGNORE:
            original: dict[str, Any] = request.environ.get("werkzeug.proxy_fix.orig", {})
            return bool(original.get("wsgi.url_scheme", request.scheme) == "https")
        return request.is_secure

    def _set_cookie(self, session: Session) -> str:
        options = self._options
        is_secure = self._is_secure(request)
        clear = session.cookie_action is CookieAction.CLEAR
        max_age, expires = (0, None) if clear else session.cookie_life
        attributes = attributes_of(options, is_secure)
        header = dump_cookie(
            self._name(is_secure),
            "" if clear or session.id is None else self._cookie.sign(session.id, self._secrets[0]),
            max_age=max_age,
            expires=0 if clear else expires,
            path=attributes.path,
            domain=attributes.domain,
            secure=attributes.secure,
            httponly=attributes.http_only,
            samesite=attributes.same_site.value,
            partitioned=attributes.partitioned,
        )
        return header + (f"; Priority={options.priority.value}" if options.priority else "")


def _keep_from_caches(response: Response) -> None:
    """Says that the answer is this visitor's alone. Looks at the names itself: werkzeug's own ways cost 5 us more."""
    headers = response.headers
    if any(name.lower() == "vary" for name, _ in headers):
        response.vary.add("Cookie")
    else:
        headers.add("Vary", "Cookie")
    headers["Cache-Control"] = "no-store"


def _is_below(path: str, cookie_path: str) -> bool:
    """Whether a cookie for `cookie_path` goes to `path` (RFC 6265, 5.1.4)."""
    return path == cookie_path or path.startswith(cookie_path.rstrip("/") + "/")


def _client(request: Request) -> dict[str, str]:
    """Who sent the request, as far as it says: see `SessionOptions.remember_client`."""
    return {"address": request.remote_addr or "", "browser": request.user_agent.string[:_MAX_BROWSER]}


def _replace(response: Response, other: Response) -> None:
    """Makes `response`, which Flask is about to send, what `other` is."""
    response.status = other.status
    response.headers = other.headers
    response.response = other.response


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """What stands behind the cookie's value. `max_age` is that of sessions without one of their own, in seconds."""

    path: str
    domain: str | None
    secure: bool
    http_only: bool
    same_site: SameSite
    partitioned: bool
    priority: Priority | None
    max_age: int | None


def attributes_of(options: SessionOptions, is_secure: bool) -> CookieAttributes:
    """`same_site` is never AUTO; `secure` is true where browsers would refuse the cookie otherwise."""
    same_site = options.same_site
    if same_site is SameSite.AUTO:
        same_site = SameSite.NONE if is_secure else SameSite.LAX
    return CookieAttributes(
        path=options.path,
        domain=options.domain,
        secure=is_secure or same_site is SameSite.NONE or options.partitioned,
        http_only=options.http_only,
        same_site=same_site,
        partitioned=options.partitioned,
        priority=options.priority,
        max_age=options.max_age,
    )


class SharedStore:
    """`store` for one request, whose cookie gets the `attributes`."""

    def __init__(self, store: Store, attributes: Callable[[], CookieAttributes]) -> None:
        self.codec = store.codec
        self.cookie = store.cookie
        self.wraps = store
        self._attributes = attributes

    def load(self, key: str) -> Record | None:
        return self.wraps.load(key)

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        attributes = self._attributes()
        told = asdict(attributes) | {
            "same_site": attributes.same_site.value.lower(),
            "priority": attributes.priority and attributes.priority.value.lower(),
        }
        told |= self._own(fields.get(COOKIE_KEY))
        return self.wraps.create(key, {**fields, COOKIE_KEY: self.codec.encode(told)}, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        if COOKIE_KEY in changes.set or COOKIE_KEY in changes.delete:
            own = self.codec.encode(self._own(changes.set.get(COOKIE_KEY)))
            changes = replace(changes, set={**changes.set, COOKIE_KEY: own}, delete=changes.delete - {COOKIE_KEY})
        return self.wraps.update(key, changes, lifetime)

    def _own(self, data: bytes | None) -> dict[str, Any]:
        """A session's own `max_age` and `expires`; where it has neither, the `max_age` of all."""
        own = self.codec.decode(data) if data is not None else None
        own = own if isinstance(own, dict) else {}
        max_age, expires = own.get("max_age"), own.get("expires")
        return {"max_age": self._attributes().max_age if max_age is expires is None else max_age, "expires": expires}

    def delete(self, key: str) -> Record | None:
        return self.wraps.delete(key)

    def quarantine(self, key: str) -> None:
        self.wraps.quarantine(key)

    def ping(self) -> float:
        return self.wraps.ping()

    def close(self) -> None:
        self.wraps.close()


P = ParamSpec("P")
R = TypeVar("R")


def fresh_login(seconds: float = 300) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for views: unless the user logged in within the last `seconds`, it raises `LoginTooOld` (401).

    A login by `session.renew(owner=...)` makes it fresh again, and keeps the session's data.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            cast(Session, flask.session).require_fresh_login(seconds)
            return view(*args, **kwargs)

        return checked

    return decorate
