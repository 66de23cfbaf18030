"""Request ids, security headers, access log and metrics of all requests.

`RequestMiddleware` wraps the WSGI application from outside, because the response to a failed commit is made after
Flask's own hooks ran.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from .logs import loggable_path, write_request
from .metrics import Metrics
from .request import REQUEST_ID
from .sessions import current_session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("nodes.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
_SESSION, _ROUTE = "nodes.session", "nodes.route"
_QUIET = frozenset({"/live", "/ready", "/metrics"})
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not no-referrer: with that, browsers send `Origin: null` with the page's own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class RequestMiddleware:
    """WSGI middleware around the application of one node. `headers` are added to each response."""

    def __init__(
        self,
        application: WSGIApplication,
        node: str,
        metrics: Metrics,
        headers: Sequence[tuple[str, str]] = SECURITY_HEADERS,
    ) -> None:
        self._application = application
        self._node = node
        self._metrics = metrics
        self._headers = (*headers, ("X-Served-By", node))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start = time.perf_counter()
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        # The id is echoed and logged, so only harmless characters are accepted.
        request_id = environ[REQUEST_ID] = sent if _REQUEST_ID.match(sent) else secrets.token_hex(16)
        seen: list[int] = []

        def begin(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            seen.append(int(status[:3]))
            return start_response(status, [*headers, *self._headers, ("X-Request-ID", request_id)], exc_info)

        try:
            return self._application(environ, begin)
        finally:
            self._finish(environ, seen[-1] if seen else 500, time.perf_counter() - start)

    def _finish(self, environ: WSGIEnvironment, status: int, seconds: float) -> None:
        method = environ["REQUEST_METHOD"][:16]
        path = loggable_path(environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace"))
        self._metrics.request(method, environ.get(_ROUTE, "none"), status, seconds)
        level = logging.DEBUG if path in _QUIET and status < 400 else logging.INFO
        if log.isEnabledFor(level):
            session_field = {"session": environ[_SESSION]} if environ.get(_SESSION) else {}
            write_request(
                self._node,
                level,
                request_id=environ[REQUEST_ID],
                method=method,
                path=path,
                status=status,
                duration_ms=round(seconds * 1000, 2),
                **session_field,
            )


def install(app: Flask, node: str, metrics: Metrics) -> None:
    """Count and log every request of `app`, and name the node in every response."""
    app.teardown_request(_remember)
    app.log_exception = _log_exception  # type: ignore[method-assign]
    app.wsgi_app = RequestMiddleware(app.wsgi_app, node, metrics)  # type: ignore[method-assign]


def _log_exception(exc_info: Any) -> None:
    """Log an error in a view. Flask's own message has the path as it came."""
    log.error("a view failed", exc_info=exc_info, extra={"request_id": request.environ[REQUEST_ID]})


def _remember(_error: BaseException | None) -> None:
    """Pass the session's key and the route to the middleware. The session is saved by now."""
    session = current_session._get_current_object()  # type: ignore[attr-defined]
    request.environ[_SESSION] = session.key_hash if session.used else None
    remember_route()


def remember_route(_error: BaseException | None = None) -> None:
    """Pass the route to the middleware, for the metrics."""
    current = request._get_current_object()  # type: ignore[attr-defined]
    current.environ[_ROUTE] = current.url_rule.rule if current.url_rule else "none"
