"""Login, logout and change of password. A login gives the session a new id and keeps its data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec
from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UnprocessableEntity,
)

from . import account_sessions, pages
from .accounts.file import Account
from .accounts.passwords import PasswordRefused
from .accounts.users import UserChanged, Users
from .rate_limit import RateLimiter
from .request import read_body, request_id, require_user, wants_page
from .sessions import NotAllEnded, Sessions, StoreUnavailable, current_session, fresh_login

log = logging.getLogger("nodes.auth")

blueprint = Blueprint("auth", __name__)

_NOT_CHANGED = (
    "Your password was not changed: the store can't be reached, or you have more sessions than can be ended at once."
    " Some of your other sessions may have ended. Send the request again."
)
_PERHAPS_CHANGED = (
    "Your password may have been changed: the store can't be reached. Send the request again; if you are asked to log"
    " in before, try the new password first."
)
_CHANGED = (
    "Your password was changed, but the store can't be reached, or you have more sessions than can be ended at once,"
    " and you may still be logged in elsewhere. Send the request again to finish it; if you are asked to log in before,"
    " use the new password."
)


class LoginForm(msgspec.Struct, frozen=True):
    """The body of a login; `back` is the page to which a browser is redirected."""

    user: str
    password: str
    back: str = "/"

    def __repr__(self) -> str:  # never the password, wherever this may be printed
        return f"LoginForm(user={self.user!r})"


class NewPassword(msgspec.Struct, frozen=True):
    """The body of a change of password."""

    current: str
    new: str

    def __repr__(self) -> str:
        return "NewPassword()"


@blueprint.post("/login")
def login() -> Response:
    """Log in: 200 with a new id, or 401, which is equal for an unknown user and a wrong password.

    429 after too many wrong ones, by `rate_limit`; 409 where the user has too many sessions.
    """
    users: Users = current_app.extensions["users"]
    limiter: RateLimiter = current_app.extensions["rate_limiter"]
    try:
        credentials = read_body(LoginForm)
        account = users.get(credentials.user)
        guess = limiter.count(request, credentials.user)  # last, so that a failure before it does not count
    except (BadRequest, TooManyRequests) as error:
        if isinstance(error, TooManyRequests):
            log.warning("login throttled", extra={"request_id": request_id()})
        return pages.refuse_form(error, about="login")
    if not users.is_password(account, credentials.password):
        guess.failure()
        return _refuse_login()
    assert account is not None
    guess.success()
    if account.unfinished:
        _finish_change(account)
    if current_session.owner in {None, credentials.user} and wants_page(request):
        pages.note_what_comes_along()
    try:
        current_session.renew(credentials.user, confirm=lambda: users.require_unchanged(account))
    except UserChanged:  # disabled, or another password, while this login was under way
        return _refuse_login()
    log.info(
        "logged in", extra={"request_id": request_id(), "user": credentials.user, "session": current_session.key_hash}
    )
    answer = {"user": credentials.user, "node": current_app.config["NODE_NAME"]}
    response = pages.json_or(answer, pages.LED_BACK_TO.get(credentials.back, "shop.home"))
    limiter.remember_device(request, response, credentials.user)
    return response


def _finish_change(account: Account) -> None:
    """End the sessions that a change of password would have ended, which was cut off."""
    users: Users = current_app.extensions["users"]
    _end_others(account.name)  # that of this browser gets a new id
    with suppress(UserChanged):  # the login notices what matters
        users.finish(account)


def _refuse_login() -> Response:
    log.info("login refused", extra={"request_id": request_id()})
    return pages.refuse_form(Unauthorized("User or password is wrong."), about="login")


@blueprint.post("/logout")
def logout() -> Response:
    """End the session at the store before the response is sent. Without a session, do nothing."""
    current_session.end()
    return pages.json_or(None)


@blueprint.get("/account")
def account() -> Response:
    """Return who is logged in and since when (ISO 8601, UTC, by the store's clock); 401 for visitors."""
    user = require_user()
    if wants_page(request):
        return _account_page()
    return jsonify(user=user, since=_login_time().isoformat(timespec="seconds"))


@blueprint.post("/password")
@fresh_login(account_sessions.FRESH_SECONDS)
def change_password() -> Response:
    """Change the password, give this session a new id, and end the user's other sessions (ASVS 5.0, 7.4.3).

    Each cut leaves a safe state, and repeating the request finishes it. The other sessions end first, so that no cut
    leaves them with a new password. Then one write changes the password. They end once more, for logins in between.
    """
    users: Users = current_app.extensions["users"]
    limiter: RateLimiter = current_app.extensions["rate_limiter"]
    user = require_user()
    try:
        passwords = read_body(NewPassword)
        account = users.get(user)
        guess = limiter.count(request, user)
    except (BadRequest, TooManyRequests) as error:
        return _refuse_change(error)
    is_current = users.is_password(account, passwords.current)
    if account is None or not (is_current or users.is_repeated(account, passwords.current, passwords.new)):
        guess.failure()
        return _refuse_change(Forbidden("The current password is wrong."))
    guess.success()

    def end_others() -> None:
        with _say_if_cut_off(_NOT_CHANGED):
            _end_others(user)

    try:
        if is_current:
            with _say_if_cut_off(_PERHAPS_CHANGED):
                account = users.set_password(account, passwords.new, first=end_others)
    except UserChanged:
        return _refuse_change(Forbidden("The current password is wrong."))
    except PasswordRefused as error:
        return _refuse_change(UnprocessableEntity(str(error)))
    try:
        with _say_if_cut_off(_CHANGED):
            current_session.renew(owner=user)
            _end_others(user)
            users.finish(account)
    except UserChanged:  # disabled, or changed or finished by another session, which has ended this one
        current_session.end()
        raise Unauthorized("Your password was changed, and you were logged out. Log in again.") from None
    log.info("password changed", extra={"request_id": request_id(), "user": user, "session": current_session.key_hash})
    return pages.json_or(None, "auth.account")


@contextmanager
def _say_if_cut_off(state: str) -> Iterator[None]:
    """Answer 503 with this state of a change of password where the store is unavailable."""
    try:
        yield
    except (StoreUnavailable, NotAllEnded) as error:
        log.warning("change of password cut off: %s", error, extra={"request_id": request_id()})
        raise ServiceUnavailable(state, retry_after=pages.RETRY_AFTER) from error


def _end_others(user: str) -> None:
    sessions: Sessions = current_app.extensions["sessions"]
    sessions.end_all(user, keep=current_session, within=account_sessions.END_SECONDS)


def _refuse_change(error: HTTPException) -> Response:
    if not wants_page(request):
        raise error
    return _account_page(error.code or 400, error.description)


def _account_page(status: int = 200, error: str | None = None) -> Response:
    page = render_template("account.html", user=current_session.owner, since=_login_time(), error=error)
    return make_response(page, status)


def _login_time() -> datetime:
    return datetime.fromtimestamp(current_session.created or 0, UTC)
