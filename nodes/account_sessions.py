"""Views of a user's sessions: list them and end them (ASVS 5.0, 7.5.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request
from werkzeug import exceptions
from werkzeug.exceptions import BadRequest, NotFound

from . import pages
from .request import require_user, wants_page
from .sessions import Sessions, UserSession, UserSessions, current_session, fresh_login

FRESH_SECONDS = 300
"""Seconds since the login that are allowed for actions which a stolen session must not do."""

END_SECONDS = 5.0
"""The most time that a request spends on ending a user's sessions; then it is answered with 503, to be repeated."""

# In this order, because each of them also claims to be the browsers below it.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python-requests/", "a program"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)

blueprint = Blueprint("account_sessions", __name__)


@dataclass(frozen=True)
class SessionView:
    """One session on the page. Times in UTC; `last_seen` is None within the last idle timeout of a session."""

    handle: str
    created: datetime
    last_seen: datetime | None
    address: str | None
    browser: str
    current: bool

    @classmethod
    def from_session(cls, one: UserSession) -> SessionView:
        return cls(
            one.handle,
            datetime.fromtimestamp(one.created, UTC),
            None if one.last_seen is None else datetime.fromtimestamp(one.last_seen, UTC),
            one.address,
            browser_name(one.browser or ""),
            one.key == current_session.key_hash,
        )

    def as_json(self) -> dict[str, object]:
        values = asdict(self)
        moments = {name: value for name, value in values.items() if isinstance(value, datetime)}
        return values | {name: moment.isoformat(timespec="seconds") for name, moment in moments.items()}


@blueprint.get("/sessions")
def list_all() -> Response:
    """List a page of the user's sessions, the newest login first."""
    page = _page_number(request.args.get("page", "1"))
    found, more = _users().page(require_user(), page)
    shown = [SessionView.from_session(one) for one in found]
    if wants_page(request):
        links = {"newer": page - 1, "older": page + 1 if more else 0}
        return make_response(render_template("sessions.html", user=require_user(), sessions=shown, **links))
    return jsonify(sessions=[one.as_json() for one in shown], more=more)


@blueprint.delete("/sessions/<handle>")
@blueprint.post("/sessions/<handle>/end")
@fresh_login(FRESH_SECONDS)
def end_one(handle: str) -> Response:
    """End one of the user's sessions. The second address is for forms, which can't send DELETE."""
    if not _users().end(require_user(), handle):
        raise NotFound("you have no session of this name: it may have expired; reload the list")
    return pages.json_or(None, "account_sessions.list_all")


@blueprint.delete("/sessions")
@blueprint.post("/sessions/end")
@fresh_login(FRESH_SECONDS)
def end_others() -> Response:
    """End all of the user's sessions but this one; with `?all=true` this one too.

    This one ends last: where the others could not all be ended, the user can repeat the request.
    """
    sessions: Sessions = current_app.extensions["sessions"]
    everywhere = request.args.get("all") == "true"
    ended = sessions.end_all(require_user(), keep=current_session, within=END_SECONDS)
    if everywhere:
        ended += current_session.exists
        current_session.end()
        return pages.json_or({"ended": ended})
    return pages.json_or({"ended": ended}, "account_sessions.list_all")


def _page_number(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= 6 and int(text)):
        raise BadRequest("page must be a number from 1 to 999999")
    return int(text)


def _users() -> UserSessions:
    sessions: Sessions = current_app.extensions["sessions"]
    if sessions.users is None:
        raise exceptions.NotImplemented("the session store of this cluster can't list the sessions of a user")
    return sessions.users


def browser_name(user_agent: str) -> str:
    """Return a name such as "Firefox on Linux"; "an unknown browser" for an unknown User-Agent."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    return browser or (f"a browser on {system}" if system else "an unknown browser")
