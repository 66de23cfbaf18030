"""Protection against cross-site request forgery (CSRF): requests that a page of another site makes a browser send.

The first defence is the headers Origin and Sec-Fetch-Site. No page can forge them, and every current browser sends them
with unsafe methods. The second defence, for forms, is a token that is signed with the session secrets and bound to the
session and its user. A visitor without a session gets an unbound token, which anyone could fetch. For visitors the
first defence decides, so that showing a form creates no session.

A login in another tab gives the session a new id, and the forms of pages from before have an old token. Such a form is
accepted where the browser's headers prove that it was sent by a page of this site, unless the page was shown to another
user.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Flask, Request, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.exceptions import Forbidden, UnsupportedMediaType

from .request import SAFE_METHODS, WRONG_TYPE, has_form
from .sessions import current_session

FIELD = "csrf_token"
_ANONYMOUS = "anonymous"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXTENSION = "csrf"


def protect(app: Flask, secrets: Sequence[str]) -> None:
    """Check every request of `app` with an unsafe method, and give its templates `csrf_token()`."""
    # itsdangerous signs with the last of several keys and accepts them all.
    app.extensions[_EXTENSION] = URLSafeSerializer(list(reversed(secrets)), salt="nodes.csrf")
    app.before_request(_check)
    app.jinja_env.globals["csrf_token"] = token


def token() -> str:
    """Return the token for the forms of a page. It makes no session, and reads the one of a visitor's cookie."""
    serializer: URLSafeSerializer = current_app.extensions[_EXTENSION]
    key = current_session.key_hash
    return str(serializer.dumps([key, current_session.owner] if key else [_ANONYMOUS, None]))


def _check() -> None:
    if request.method in SAFE_METHODS:
        return
    if not is_own_origin(request):
        raise Forbidden("this request was sent by a page of another site, so it was refused")
    if request.url_rule is None or request.is_json:
        return  # a page of another site needs permission to send JSON (CORS), and never gets it
    if has_form(request):
        _check_token(request.form.get(FIELD, ""))
    elif request.mimetype or request.content_length:
        raise UnsupportedMediaType(WRONG_TYPE)


def is_own_origin(req: Request) -> bool:
    """Return whether the request comes from a page of this site, or from no page.

    `Origin: null` (a sandboxed frame, a file, a redirect from elsewhere) and a sibling domain (`same-site`) are
    foreign. A request without both headers is not from a browser, so that no cookies are at stake.
    """
    if req.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        return False
    sent = req.headers.get("Origin")
    if sent is None:
        return True
    origin = _origin(sent)
    return origin is not None and origin == _origin(req.host_url)


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    """Return scheme, host and port; None without a host or for a malformed URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _check_token(sent: str) -> None:
    serializer: URLSafeSerializer = current_app.extensions[_EXTENSION]
    try:
        key, owner = serializer.loads(sent)
    except (BadSignature, ValueError):
        raise Forbidden("this form did not come with a valid token: open the page again and repeat it") from None
    if hmac.compare_digest(key, current_session.key_hash or _ANONYMOUS):
        return
    if not _has_proof(request) or owner not in (None, current_session.owner):
        raise Forbidden("this page is older than your session: open it again and repeat what you did")


def _has_proof(req: Request) -> bool:
    """Return whether headers prove that a page of this site sent the request, which `is_own_origin` has accepted."""
    return "Origin" in req.headers or req.headers.get("Sec-Fetch-Site") == "same-origin"
