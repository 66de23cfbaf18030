"""The Flask extension: cookie -> session -> store, around each request, and the response to each error."""

from __future__ import annotations

import logging
import os
from collections import abc
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import flask
from blinker import NamedSignal
from flask import Flask, Request, Response, jsonify
from flask.sessions import SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from werkzeug.http import dump_cookie

from . import flask_login, hooks, signals
from .admission import Admission
from .caching import forbid_sharing
from .capabilities import FindsByUser, Iterable, ListsByUser, find_capability, ignore
from .checks import check_store, check_type, to_owner
from .config import from_config, snapshot
from .cookie import cookie_values
from .data import SessionData, state_of
from .environment import EnvironmentReader
from .migration import Migration, TakenOver, finish
from .old_sessions import OldSessions
from .options import OptionsError, Secure, SessionOptions, TrustProxy
from .session import Session, current_session
from .shared_store import SharedStore
from .state import CookieAction, SessionState
from .store import AnonymousRefused, CookieNotSendable, NotAllEnded, SessionError, Store, StoreUnavailable
from .streaming import SavedStream, read_known_body
from .users import UserSessions, end_all

log = logging.getLogger(__package__)

RETRY_AFTER = 1
"""Value of Retry-After, in seconds."""
_EXEMPT = "_session_exempt"
_MAX_BROWSER = 256
_OUTAGE_READ = "the session store can't be reached; try again"
_OUTAGE_WRITE = (
    "the session store can't be reached: the request may not have been carried out; check before you repeat it"
)

P = ParamSpec("P")
R = TypeVar("R")


class Sessions:
    """Server-side sessions for a Flask application, in `store`, with these `options`.

        app = Flask(__name__)
        Sessions(app, store=RedisStore.from_url("redis://localhost"), options=SessionOptions(secrets=(secret,)))

    Registers error handlers for `StoreUnavailable`, `StoreNearlyFull` and `NotAllEnded` (503 with Retry-After),
    `TooManyNewSessions` (429 with Retry-After), `SessionEnded` and `TooManySessions` (409), `SessionTooLarge` (413),
    `LoginTooOld` (401) and `CookieNotSendable` (400). An application may register its own for
    them; they apply to errors in views and at the end of the request, except that `CookieNotSendable` at the end is
    only logged. `migrate_from` are the session layers whose sessions are taken over: see `old_sessions.py`. Raises
    `OptionsError` for options that need a capability which the store does not have.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        store: Store,
        options: SessionOptions | None = None,
        migrate_from: abc.Sequence[OldSessions] = (),
    ) -> None:
        check_store(store)
        options = SessionOptions() if options is None else options
        check_type("options", options, SessionOptions, "a SessionOptions")
        self.store = store
        self.options = options
        by_user = find_capability(store, ListsByUser)
        if options.max_sessions is not None and by_user is None:
            raise OptionsError("max_sessions needs a store that lists the sessions of a user; this one does not")
        self.users = UserSessions(store, by_user, options, self.notify) if by_user is not None else None
        """The sessions of a user; None where the store can't list them."""
        check_type("migrate_from", migrate_from, (list, tuple), "a list")
        self.migration = Migration(store, migrate_from) if migrate_from else None
        if self.users is not None:
            self.users.migration = self.migration
        self.admission = Admission(store, options.anonymous_rate, options.anonymous_share)
        if app is not None:
            self.init_app(app)

    @classmethod
    def from_environment(
        cls,
        app: Flask,
        *,
        options: SessionOptions | None = None,
        migrate_from: abc.Sequence[OldSessions] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Give `app` the sessions that the environment's variables describe: see `environment.py`.

        An option that was given wins over the environment, and the environment over the application's configuration.
        An application without a `SECRET_KEY` gets one that is derived from `SESSION_SECRETS`, which all its processes
        share. Raises `OptionsError`, in one line.
        """
        check_type("app", app, Flask, "a Flask application")
        check_type("options", options, (SessionOptions, type(None)), "a SessionOptions")
        reader = EnvironmentReader(os.environ if environ is None else environ)
        reader.warn_of_unknown()
        if not app.secret_key and (keys := reader.secret_keys()):
            app.config.update(SECRET_KEY=keys[0], SECRET_KEY_FALLBACKS=keys[1:])
        given = {} if options is None else {name: getattr(options, name) for name in options.given}
        with reader.named_options(given):
            merged = SessionOptions(**(reader.options() | given))
        return cls(app, store=reader.store(), options=merged, migrate_from=migrate_from)

    def init_app(self, app: Flask) -> None:
        """Replace Flask's own sessions in `app`. Raises OptionsError where its configuration can't be right."""
        check_type("app", app, Flask, "a Flask application")
        if "sessions" in app.extensions:
            raise OptionsError("app has Sessions already: create one for each application")
        interface = _Interface(self)
        interface.options_for(app)
        if self.options.flask_login:
            flask_login.connect(app)
        app.session_interface = interface
        app.extensions["sessions"] = self
        app.register_error_handler(SessionError, error_response)
        hooks.report_outages(app)
        hooks.follow_teardown(app)

    def use(self, options: SessionOptions) -> None:
        """Take options that have the configuration of an application in them."""
        self.options = options
        if self.users is not None:
            self.users.options = options

    def notify(self, signal: NamedSignal, key: str) -> None:
        """Send one of `signals`; `key` is the SHA-256 of the session's id."""
        signal.send(self, key=key)

    def end_all(self, owner: str | int, keep: Session | None = None, within: float | None = None) -> int:
        """End the sessions of `owner`, except `keep`, and return how many ended. Repeat it where it fails.

        `within` bounds the time that a request spends on a user with very many sessions, in seconds: then it raises
        `NotAllEnded`. Raises TypeError where the store can neither list nor find the sessions of a user.
        """
        kept = None if keep is None or keep.id is None else self.store.cookie.to_key(keep.id)
        if self.users is not None:
            return self.users.end_all(owner, kept, within)
        finds = find_capability(self.store, FindsByUser)
        if finds is None:
            raise TypeError("this store can't find the sessions of a user")
        name = to_owner(owner)
        if self.migration is not None:
            self.migration.end(name, self.options)

        def signal(key: str) -> None:
            self.notify(signals.session_ended, self.store.cookie.to_hash(key))

        return end_all(self.store, lambda: [key for key in finds.find_keys_of(name) if key != kept], signal, within)

    def end_everyone(self) -> int:
        """End every session in the store, without signals, and return how many.

        Raises TypeError where the store can't iterate over its sessions.
        """
        iterable = find_capability(self.store, Iterable)
        if iterable is None:
            raise TypeError("this store can't iterate over its sessions")
        mark, list_keys = None, iterable.keys
        if self.migration is not None:
            mark = self.migration.end(None, self.options)
        return end_all(self.store, lambda: [key for key in list_keys() if key != mark], ignore)


def error_response(error: SessionError) -> ResponseReturnValue:
    """Return the default response to an error of the session: JSON with the reason."""
    status = error.status
    is_read = flask.request.method in {"GET", "HEAD", "OPTIONS", "TRACE"}
    is_outage = isinstance(error, StoreUnavailable)
    response = jsonify(error=str(error) if not is_outage else _OUTAGE_READ if is_read else _OUTAGE_WRITE)
    response.status_code = status
    if is_outage or isinstance(error, AnonymousRefused | NotAllEnded):
        response.headers["Retry-After"] = str(RETRY_AFTER)
    response.headers["Cache-Control"] = "no-store"
    return response


def fresh_login(seconds: float = 300) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a view that needs a recent login (step-up; ASVS 5.0, 7.5.1 and 7.5.3).

    Unless the user logged in within the last `seconds`, it raises `LoginTooOld` (401). A new login by
    `current_session.renew(owner=...)` keeps the session's data.
    """
    if callable(seconds):
        raise TypeError("fresh_login must be called: write @fresh_login() or @fresh_login(seconds=300)")
    check_type("seconds", seconds, (int, float), "a number")
    if not seconds > 0:
        raise OptionsError(f"seconds must be above 0, not {seconds:g}")

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            current_session.require_fresh_login(seconds)
            return view(*args, **kwargs)

        return checked

    return decorate


def session_exempt(view: Callable[P, R]) -> Callable[P, R]:
    """Decorate a view that needs no session, such as a health check.

    The options that act on every request (`rolling`, `resave`, `save_uninitialized`) don't act on its own: the store is
    not asked and no cookie is sent, unless the application itself uses the session.
    """
    setattr(view, _EXEMPT, True)
    return view


def _is_exempt(app: Flask) -> bool:
    """Return whether the current request is for a static file, or for a view with `session_exempt`."""
    endpoint = flask.request.endpoint or ""
    return endpoint.rpartition(".")[2] == "static" or hasattr(app.view_functions.get(endpoint), _EXEMPT)


class _Interface(SessionInterface):
    """Flask's hooks before and after a view."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._given = sessions.options
        self._snapshot: tuple[Any, ...] | None = None
        self._options: SessionOptions | None = None
        self._guards = False
        """Whether `flask_login.guard` was called, which comes after the application was set up."""

    def options_for(self, app: Flask) -> SessionOptions | None:
        """Return the options with the configuration of `app`, which may change until the first request and in tests."""
        current = snapshot(app.config)
        if current != self._snapshot:
            self._options = from_config(self._given, app.config)
            self._snapshot = current
            if self._options is not None:
                self._sessions.use(self._options)
        return self._options

    def open_session(self, app: Flask, request: Request) -> SessionData | None:
        """Return the request's session, which has not yet read the cookie or the store.

        None without a secret: Flask lets such a session be read, and not be written.
        """
        options = self.options_for(app)
        if options is None:
            return None
        if options.flask_login and not self._guards:
            flask_login.guard(app)
            self._guards = True
        context = _RequestContext(self._sessions, options, request, app)
        store = self._sessions.store
        if store.cookie.is_shared:
            store = SharedStore(store, context.options, context.is_secure())
        return SessionData(SessionState(store, context.options, context))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commit before the headers leave. An error replaces the response, so that nothing unsaved is confirmed.

        Except for `CookieNotSendable`: a new session is dropped then, with a line in the log.
        """
        state = state_of(session)
        context = state.request_context
        assert isinstance(context, _RequestContext)
        was_used = state.used
        read_known_body(response)
        try:
            state.commit(context.options.on_demand() if _is_exempt(app) else context.options)
        except CookieNotSendable as error:
            if was_used:
                log.warning("%s", error)
        except SessionError as error:
            _replace(response, app.make_response(app.handle_user_exception(error)))
        if context.taken_over is not None:
            finish(context.taken_over, app, state, response, context.set_cookie(state))
        has_cookie = state.cookie_action is not CookieAction.NONE and context.cookie_refusal() is None
        context.closed = True
        if response.is_streamed and not response.direct_passthrough:
            context.streams = True
            response.response = SavedStream(response.response, state)
        if has_cookie:
            response.headers.add("Set-Cookie", context.set_cookie(state))
        if has_cookie or state.used:
            forbid_sharing(response, context.options.caching)


class _RequestContext:
    """The request of a session: the cookie that it brought, and the cookie that its response may set."""

    __slots__ = ("_app", "_request", "_sessions", "admission", "closed", "options", "streams", "taken_over")

    def __init__(self, sessions: Sessions, options: SessionOptions, request: Request, app: Flask) -> None:
        self._sessions = sessions
        self._request = request
        self._app = app
        self.taken_over: TakenOver | None = None
        self.streams = False
        self.options = options.for_request(request)
        self.admission = sessions.admission
        self.closed = False

    def notify(self, signal: NamedSignal, key: str) -> None:
        self._sessions.notify(signal, key)

    def describe_client(self) -> dict[str, str]:
        request = self._request
        return {"address": request.remote_addr or "", "browser": request.user_agent.string[:_MAX_BROWSER]}

    def describe_route(self) -> str:
        rule = self._request.url_rule
        return f"{self._request.method} {'an unknown path' if rule is None else rule.rule}"

    def read_id(self) -> str | None:
        header, is_secure = self._request.environ.get("HTTP_COOKIE", ""), self.is_secure()
        values = cookie_values(header, self._cookie_name(is_secure))
        if (
            not values and self._app.testing
        ):  # `session_transaction` over HTTP prepares the session of a request over TLS
            values = cookie_values(header, self._cookie_name(not is_secure))
        verify, secrets = self._sessions.store.cookie.verify, self.options.secret_bytes
        # Of two genuine cookies with one name, one may have been planted from a sibling domain: neither is accepted.
        genuine = [session_id for value in values if (session_id := verify(value, secrets)) is not None]
        if not genuine and self._sessions.migration is not None and self.cookie_refusal() is None:
            self.taken_over = self._sessions.migration.take_over(self._app, header, self.options, self)
            return None if self.taken_over is None else self.taken_over.session_id
        return genuine[0] if len(genuine) == 1 else None

    def cookie_refusal(self) -> str | None:
        options, request = self.options, self._request
        if self.closed:
            return "the response has begun"
        if (options.secure is Secure.ON or options.sent_secure(is_secure=False)) and not self._is_tls():
            return "its cookie is for TLS only, and the request came over plain HTTP"
        if options.path != "/" and not _is_below(request.script_root + request.path, options.path):
            return f"its cookie is for {options.path}, and the request for {request.path}"
        return None

    def set_cookie(self, state: SessionState) -> str:
        """Return the Set-Cookie header that sets or clears the session's cookie."""
        options, is_secure = self.options, self.is_secure()
        clear = state.cookie_action is CookieAction.CLEAR
        max_age, expires = (0, None) if clear else state.cookie_lifetime
        sign, session_id = self._sessions.store.cookie.sign, state.unloaded().id
        header = dump_cookie(
            self._cookie_name(is_secure),
            "" if clear or session_id is None else sign(session_id, options.secret_bytes[0]),
            max_age=max_age,
            expires=0 if clear else expires,
            path=options.path,
            domain=options.domain,
            secure=options.sent_secure(is_secure),
            httponly=options.http_only,
            samesite=options.sent_same_site(is_secure).value,
            partitioned=options.partitioned,
        )
        return header + (f"; Priority={options.priority.value}" if options.priority else "")

    def _cookie_name(self, is_secure: bool) -> str:
        return self.options.cookie_name(is_secure and not self._sessions.store.cookie.is_shared)

    def is_secure(self) -> bool:
        """Return whether the cookie is for TLS only."""
        return self._is_tls() if self.options.secure is Secure.AUTO else self.options.secure is Secure.ON

    def _is_tls(self) -> bool:
        """Return whether the request came over TLS; `SessionOptions.proxy` names the source."""
        environ = self._request.environ
        if self.options.proxy is TrustProxy.TLS:
            return True
        if self.options.proxy is TrustProxy.TRUST:
            return bool(environ.get("HTTP_X_FORWARDED_PROTO", "").partition(",")[0].strip().lower() == "https")
        if self.options.proxy is TrustProxy.IGNORE:
            original: dict[str, Any] = environ.get("werkzeug.proxy_fix.orig", {})
            return bool(original.get("wsgi.url_scheme", self._request.scheme) == "https")
        return self._request.is_secure


def _is_below(path: str, cookie_path: str) -> bool:
    """Return whether browsers send a cookie for `cookie_path` to `path` (RFC 6265, 5.1.4)."""
    return path == cookie_path or path.startswith(cookie_path.rstrip("/") + "/")


def _replace(response: Response, other: Response) -> None:
    """Make `response`, which Flask is about to send, equal to `other`."""
    response.status = other.status
    response.headers = other.headers
    response.response = other.response
