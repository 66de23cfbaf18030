"""Cookie -> session -> store, around one request; and the one place that decides what a fault means for a response."""

from __future__ import annotations

import logging
from typing import Any

from blinker import NamedSignal
from flask import Flask, Request, Response, jsonify, request
from flask.sessions import SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from werkzeug.http import dump_cookie

from .cookie import sign, values_of, verify
from .options import Proxy, SameSite, Secure, SessionOptions
from .session import CookieAction, Session
from .store import SessionEnded, SessionError, SessionTooLarge, Store

log = logging.getLogger("nodes.sessions")

RETRY_AFTER = 1
"""Seconds that a client is asked to wait while the store can't be reached."""


class Sessions:
    """The Flask extension: sessions in `store`, behaving as `options` say.

        app = Flask(__name__)
        Sessions(app, store=RedisStore.from_url("redis://localhost"), options=SessionOptions(secrets=(secret,)))

    It registers handlers for `StoreUnavailable` (503 with Retry-After), `SessionEnded` (409) and `SessionTooLarge`
    (413). An application may register its own for them; they answer for errors in views and at the end of the request.
    """

    def __init__(self, app: Flask | None = None, *, store: Store, options: SessionOptions) -> None:
        self.store = store
        self.options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Gives `app` these sessions in place of Flask's own."""
        app.session_interface = _Interface(self)
        app.extensions["sessions"] = self
        app.register_error_handler(SessionError, answer)


def answer(error: SessionError) -> ResponseReturnValue:
    """The default answer to a fault of the session: JSON that says what happened and what was not saved."""
    status = {SessionEnded: 409, SessionTooLarge: 413}.get(type(error), 503)
    response = jsonify(error=str(error) if status != 503 else "the session store can't be reached; try again")
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    response.headers["Cache-Control"] = "no-store"
    return response


class _Interface(SessionInterface):
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._options = sessions.options
        self._secrets = sessions.options.secret_bytes

    def open_session(self, app: Flask, request: Request) -> Session:  # noqa: ARG002 - Flask's signature
        """The request's session, which has asked nothing of the store."""
        name = self._options.cookie_name(self._is_secure(request))
        values = values_of(request.environ.get("HTTP_COOKIE", ""), name)
        # Of two cookies of one name, one may have been planted from a sibling domain: neither is believed.
        session_id = verify(values[0], self._secrets) if len(values) == 1 else None
        return Session(self._sessions.store, self._options, session_id, self._notify)

    def _notify(self, signal: NamedSignal, key: str) -> None:
        signal.send(self._sessions, key=key)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commits before the headers leave. A fault here replaces the response: nothing unsaved is ever confirmed."""
        assert isinstance(session, Session)
        try:
            if session.key_hash is not None or self._is_deliverable(session):
                session.commit()
        except SessionError as error:
            _replace(response, app.make_response(app.handle_user_exception(error)))
        if session.cookie_action is not CookieAction.NONE:
            response.headers.add("Set-Cookie", self._set_cookie(session))
        if session.used or session.cookie_action is not CookieAction.NONE:
            response.vary.add("Cookie")
            response.headers["Cache-Control"] = "no-store"

    def _is_deliverable(self, session: Session) -> bool:
        """Whether a browser would send the cookie of a new session back."""
        if self._options.secure is not Secure.ON or self._is_tls(request):
            return True
        if session.used:
            log.warning("no session was made: secure is on, and the request came over plain HTTP")
        return False

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
        header = dump_cookie(
            options.cookie_name(is_secure),
            "" if clear or session.id is None else sign(session.id, self._secrets[0]),
            max_age=0 if clear else options.max_age,
            expires=0 if clear else None,
            path=options.path,
            domain=options.domain,
            secure=is_secure or options.same_site is SameSite.NONE or options.partitioned,
            httponly=options.http_only,
            samesite=options.same_site.value,
            partitioned=options.partitioned,
        )
        return header + (f"; Priority={options.priority.value}" if options.priority else "")


def _replace(response: Response, other: Response) -> None:
    """Makes `response`, which Flask is about to send, what `other` is."""
    response.status = other.status
    response.headers = other.headers
    response.response = other.response
