"""The page and the errors, for browsers and programs; the visitor's profile. `language.py` translates the pages."""

from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import (
    Flask,
    Response,
    current_app,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.exceptions import HTTPException

from .language import page_language
from .request import SAFE_METHODS, request_id, wants_page
from .sessions import (
    AnonymousRefused,
    CookieNotSendable,
    LoginTooOld,
    NotAllEnded,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    StoreNearlyFull,
    TooManyNewSessions,
    TooManySessions,
    current_session,
)
from .sessions.users import HANDLE_DIGITS
from .store_kinds import SessionStoreKind

RETRY_AFTER = 2
"""Value of Retry-After while the store is unavailable or nearly full, in seconds: a failover takes about this long."""
COLOURS = 8
LED_BACK_TO = {"/sessions": "account_sessions.list_all", "/account": "auth.account"}
"""The only pages beside the home page that a login may lead back to, whatever a form says."""
_CAME_ALONG = "came_along"
"""A key of the session: there were visits or a cart before the login."""
_LONGEST_NAME = 64
"""Characters of a user's name in a form."""
_STATIC_SECONDS = 365 * 86400
_LOG_IN_AGAIN = "log in again: this needs a fresh login"
_OUTAGE_READ = "Your session can't be read at present. This does not log you out: please try again in a moment."
_OUTAGE_WRITE = "Your request may not have been carried out: check before you repeat it."
_TITLES = {
    400: "That was not understood",
    401: "Not logged in",
    403: "Refused",
    404: "There is nothing here",
    405: "That is not possible here",
    413: "Too large",
    415: "Not this type of content",
    422: "That does not fit",
    429: "Too many attempts",
    501: "This store can't do that",
    503: "The session store can't be reached",
}
_SESSION_ERRORS = {
    SessionEnded: (
        "Not saved",
        "You logged in or out in another tab, or your session ended, before this was saved. Nothing was changed."
        " Open the page again and repeat what you did.",
    ),
    TooManySessions: (
        "Too many logins",
        "You are logged in at too many places. Log out at one of them first.",
    ),
    TooManyNewSessions: (
        "Too many new visitors",
        "Many new visitors have your address, and this was not saved. Please try again in a moment, or log in.",
    ),
    StoreNearlyFull: (
        "Too many visitors",
        "There are too many visitors at present, and this was not saved. Please log in, or try again later.",
    ),
    SessionTooLarge: (
        "Your session is full",
        "Your session is full, and this was not saved. What was in it is still there.",
    ),
    NotAllEnded: ("Not finished", "You have more sessions than can be ended at once: {}."),
    CookieNotSendable: ("Login not possible here", "You can't log in here: {}."),
}
"""Title and message by error; `{}` is the error's own text."""


def register(app: Flask) -> None:
    """Give `app` its error pages, and its templates their common values."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(SessionError, _session_error)
    app.after_request(_vary)
    app.context_processor(page_language)
    style = zlib.crc32((Path(app.static_folder or "") / "style.css").read_bytes())
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _STATIC_SECONDS  # for ever, because a new version gets another address
    app.jinja_env.globals.update(
        node=app.config["NODE_NAME"],
        colour=node_colour(app.config["NODE_NAME"]),
        store=app.config["STORE_KIND"],
        form_page=form_page,
        style_version=f"{style:08x}",
    )


def node_colour(node: str) -> int:
    """Return the number of a node's colour, 0 to 7; nodes with consecutive numbers differ."""
    digits = node[len(node.rstrip("0123456789")) :]
    return (int(digits[-9:]) - 1 if digits else zlib.crc32(node.encode())) % COLOURS


def home(status: int = 200, error: str | None = None, about: str = "", typed: dict[str, str] | None = None) -> Response:
    """Return the page, with `error` beside the form that it is `about`, and `typed` in its fields."""
    typed = typed or {"user": request.args.get("user", "")[:_LONGEST_NAME]}
    shown = {"error": error, "about": about, "typed": typed, "handle": handle(), "stranger": is_stranger()}
    page = render_template("home.html", **profile(), **shown, came_along=session.get(_CAME_ALONG, False))
    return make_response(page, status)


def refuse_form(error: HTTPException, about: str) -> Response:
    """Return the response to a refused form: its page with the reason and what was typed, or to a program the error."""
    if not wants_page(request):
        return _http_error(error)
    back = request.form.get("back", "/")
    if about == "login" and (back in LED_BACK_TO or current_session.owner is not None):
        return _login_page(error.code or 400, back, error=error.description)
    typed = {name: request.form.get(name, "") for name in ("user", "item", "quantity")}
    return home(error.code or 400, error.description, about, typed)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    original = error.get_response()
    if not isinstance(original, Response) and 300 <= status < 400:
        return make_response(original)  # a redirect by the routing
    if status == 405 and request.method in SAFE_METHODS and wants_page(request):
        return make_response(redirect(form_page(request.path)))  # the address of a refused form, opened again
    if status == 401 and wants_page(request):
        return _login_page(status, _page_of_request(), error.description or "")
    response = _error(status, error.description or "the node could not answer this request")
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in original.headers:
            response.headers[name] = original.headers[name]
    return response


def _session_error(error: SessionError) -> Response:
    """Return the response to a session's error. During an outage it does not use the session."""
    if isinstance(error, LoginTooOld):
        return _login_again(error.status)
    if type(error) in _SESSION_ERRORS:
        title, message = _SESSION_ERRORS[type(error)]
        response = _error(error.status, message.format(error), title)
        if isinstance(error, AnonymousRefused | NotAllEnded):
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response
    response = _error(error.status, _OUTAGE_READ if request.method in SAFE_METHODS else _OUTAGE_WRITE)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _login_again(status: int) -> Response:
    """Return an error to a program, and to a browser a form for a fresh login that leads back."""
    if not wants_page(request):
        return _error(status, _LOG_IN_AGAIN, login="again")
    return _login_page(status, _page_of_request(), _LOG_IN_AGAIN)


def _login_page(status: int, back: str, message: str = "", error: str | None = None) -> Response:
    """Return a page with a login that leads `back`: with `message`, or with the `error` of the login before it."""
    user, typed = current_session.owner, request.form.get("user", "")
    shown = {"again": user is not None and typed in {"", user}, "typed": typed, "back": back}
    page = render_template("login.html", user=user, status=status, message=message, error=error, **shown)
    return _never_cached(make_response(page, status))


def _page_of_request() -> str:
    """Return the page that was asked for, or that of the form that was sent."""
    return request.path if request.method in SAFE_METHODS else form_page(request.path)


def form_page(path: str) -> str:
    """Return the page of the form that was sent to `path`."""
    if path.startswith("/sessions"):
        return "/sessions"
    return "/account" if path == "/password" else "/"


def _error(status: int, message: str, title: str | None = None, **more: str) -> Response:
    """Return the error as a page, or as JSON together with `more`."""
    if wants_page(request):
        title = title or _TITLES.get(status, "Something went wrong" if status >= 500 else "That did not work")
        shown = {"title": title, "message": message, "home": url_for("shop.home", user=_typed_user())}
        page = render_template("error.html", status=status, **shown, request_id=request_id())
        response = make_response(page, status)
    else:
        response = make_response(jsonify(error=message, **more), status)
    return _never_cached(response)


def _typed_user() -> str | None:
    """Return the name of a login that the store failed, for the form of the page that follows. Never the password."""
    if request.endpoint == "auth.login":
        with suppress(HTTPException):  # the form itself may be what was refused
            return request.form.get("user", "")[:_LONGEST_NAME] or None
    return None


def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Accept")
    return response


def _vary(response: Response) -> Response:
    if request.endpoint != "static":
        response.headers["Vary"] = "Accept, Accept-Language"
    return response


def json_or(answer: dict[str, Any] | None, endpoint: str = "shop.home") -> Response:
    """Redirect a browser to `endpoint`, by GET, so that a reload repeats nothing.

    Return `answer` to a program, or 204 where it is None.
    """
    if wants_page(request):
        return make_response(redirect(url_for(endpoint), 303))
    return jsonify(answer) if answer is not None else make_response("", 204)


def profile() -> dict[str, Any]:
    """Return user, node, visits and cart. Creates no session."""
    return {
        "user": current_session.owner,
        "node": current_app.config["NODE_NAME"],
        "visits": session.get("visits", 0),
        "cart": session.get("cart", {}),
    }


def note_what_comes_along() -> None:
    """Note in the session, before a login, whether it has visits or a cart. The login saves the note with the rest."""
    if session.get("visits") or session.get("cart"):
        session[_CAME_ALONG] = True
    else:
        session.pop(_CAME_ALONG, None)


def is_stranger() -> bool:
    """Return whether the browser's cookie names a session that this worker's memory does not have.

    In a store that all nodes share, such a session has ended, which needs no explanation.
    """
    if current_app.config["STORE_KIND"] != SessionStoreKind.MEMORY.value or current_session.exists:
        return False
    options = current_app.extensions["sessions"].options
    return any(options.cookie_name(is_secure) in request.cookies for is_secure in (True, False))


def handle() -> str | None:
    """Return the session's handle, which cannot be used to log in; None without a session."""
    return current_session.key_hash[:HANDLE_DIGITS] if current_session.exists and current_session.key_hash else None
