"""Request ids, security headers, access log and metrics of all requests; pages or JSON; the typed session.

`RequestMiddleware` wraps the WSGI application from outside, because the response to a failed commit is made after
Flask's own hooks ran.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import flask
import msgspec
from flask import Flask, Request, request
from werkzeug.exceptions import BadRequest, Unauthorized, UnsupportedMediaType

from .metrics import Metrics
from .sessions import Session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("nodes.requests")

session = cast(Session, flask.session)
"""`flask.session`, with its type here."""

T = TypeVar("T")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_AT = re.compile(r" - at `\$\.(\w+)`\Z")
_MISSING = re.compile(r"Object missing required field `(\w+)`")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
_ID, _SESSION, _ROUTE = "nodes.request_id", "nodes.session", "nodes.route"
_QUIET = frozenset({"/live", "/ready", "/metrics"})
_MAX_PATH = 256
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
    """WSGI middleware; `clock` returns seconds."""

    def __init__(
        self, application: WSGIApplication, node: str, metrics: Metrics, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._application = application
        self._metrics = metrics
        self._clock = clock
        self._headers = (*SECURITY_HEADERS, ("X-Served-By", node))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start = self._clock()
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        # The id is echoed and logged, so only harmless characters are accepted.
        request_id = environ[_ID] = sent if _REQUEST_ID.match(sent) else secrets.token_hex(16)
        seen: list[int] = []

        def begin(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            seen.append(int(status[:3]))
            return start_response(status, [*headers, *self._headers, ("X-Request-ID", request_id)], exc_info)

        try:
            return self._application(environ, begin)
        finally:
            self._finish(environ, seen[-1] if seen else 500, self._clock() - start)

    def _finish(self, environ: WSGIEnvironment, status: int, seconds: float) -> None:
        method = environ["REQUEST_METHOD"][:16]
        path = environ.get("PATH_INFO", "")[:_MAX_PATH].encode("latin-1").decode("utf-8", "replace")
        self._metrics.request(method, environ.get(_ROUTE, "none"), status, seconds)
        level = logging.DEBUG if path in _QUIET and status < 400 else logging.INFO
        if log.isEnabledFor(level):
            fields: dict[str, Any] = {
                "request_id": environ[_ID],
                "method": method,
                "path": path,  # without the query, which may hold a password
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
            }
            if environ.get(_SESSION):
                fields["session"] = environ[_SESSION]
            log.log(level, "request", extra=fields)


def install(app: Flask, node: str, metrics: Metrics) -> None:
    """Count and log every request of `app`, and name the node in every response."""
    app.teardown_request(_remember)
    app.wsgi_app = RequestMiddleware(app.wsgi_app, node, metrics)  # type: ignore[method-assign]


def _remember(_error: BaseException | None) -> None:
    """Pass the session's key and the route to the middleware. The session is saved by now."""
    request.environ[_SESSION] = session.key_hash if session.used else None
    request.environ[_ROUTE] = request.url_rule.rule if request.url_rule else "none"


def request_id() -> str:
    """Return the id of the current request, for error pages and logs."""
    value = request.environ.get(_ID, "")
    return value if isinstance(value, str) else ""


def require_user() -> str:
    """Return the user who is logged in. Raises 401 for visitors."""
    if session.owner is None:
        raise Unauthorized("log in first")
    return session.owner


def wants_page(req: Request) -> bool:
    """Return whether the client is a browser that shows pages.

    Clients that ask for JSON, send it, or have no preference get JSON; clients that prefer text/html, as browsers do,
    get a page.
    """
    if req.is_json or not req.accept_mimetypes:
        return False
    return req.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"


def has_form(req: Request) -> bool:
    """Return whether the body comes from a page's form."""
    return req.mimetype in FORMS


def read_body(shape: type[T]) -> T:
    """Return the request's body, a form or JSON, as `shape`, a msgspec struct.

    Raises 415 for any other type of body, 400 for a malformed one and for missing or wrong fields, which it names, and
    413 for one that is too large. Numbers in forms are text, so there "2" counts as 2; in JSON it does not.
    """
    try:
        if has_form(request):
            return msgspec.convert(request.form.to_dict(), shape, strict=False)
        if request.is_json:
            return msgspec.json.decode(request.get_data(), type=shape)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadRequest(_readable(str(error))) from None
    raise UnsupportedMediaType("send a form (application/x-www-form-urlencoded) or JSON (application/json)")


def _readable(message: str) -> str:
    """Return msgspec's message with the field in front: `quantity: expected int, got str`, `user is missing`."""
    if missing := _MISSING.match(message):
        return f"{missing[1]} is missing"
    at = _AT.search(message)
    text = _AT.sub("", message).replace("`", "")
    text = text if text.startswith("JSON") else text[:1].lower() + text[1:]
    return f"{at[1]}: {text}" if at else text
