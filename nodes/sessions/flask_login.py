"""Flask-Login: a login renews the id and makes the user the session's owner, and a logout ends the session.

Flask-Login writes its keys into the session and then sends a signal. The functions here are called by the signals, so a
login that fails raises out of `login_user`, and its keys are taken back: no session has them without an owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import flask
from flask import Flask, Response

from .checks import OptionsError, plain_text
from .data import SessionData, state_of
from .session import Session
from .state import SessionState
from .store import SessionError, TooManySessions

USER, FRESH, REMEMBER = "_user_id", "_fresh", "_remember"
KEYS = (USER, FRESH, "_id", REMEMBER, "_remember_seconds")
"""The keys of a login. Of a session that nobody is logged in to, Flask-Login uses `_remember` alone."""


def connect(app: Flask) -> None:
    """Follow the logins and logouts of `app`. Raises OptionsError where Flask-Login is not installed."""
    try:
        from flask_login import signals
    except ModuleNotFoundError:
        raise OptionsError("flask_login needs the package flask-login: pip install flask-login") from None
    signals.user_logged_in.connect(_log_in, app)
    signals.user_login_confirmed.connect(_log_in, app)
    signals.user_loaded_from_cookie.connect(_restore, app)
    signals.user_logged_out.connect(_log_out, app)
    signals.session_protected.connect(_protect, app)


def find_owner(data: Mapping[str, Any]) -> str | None:
    """Return the user whom Flask-Login logged in to a session with this data; None for an anonymous one."""
    user = data.get(USER)
    return None if user is None else plain_text(user)


def _log_in(_app: Flask, **_: Any) -> None:
    """Renew the session for the user of `login_user` or `confirm_login`."""
    if flask.session.get(USER) is not None:
        with _taken_back() as state:
            _renew(state)


def _restore(_app: Flask, **_: Any) -> None:
    """Renew the session for the user of a remember cookie.

    Where no session cookie can be sent, or the session has just ended or got another id, the user is logged in for this
    request alone: it must not begin a session after the browser's logout.
    """
    try:
        with _taken_back() as state:
            if state.load().mark is None and state.request_context.cookie_refusal() is None:
                _renew(state)
            else:
                _take_back(state)
    except TooManySessions:
        flask.session[REMEMBER] = "clear"  # otherwise each of the browser's requests would be refused
        raise


def _log_out(_app: Flask, user: Any, **_: Any) -> None:
    """End the session of `logout_user`, unless nobody was logged in."""
    state = _state()
    if user.is_authenticated or Session(state).owner is not None:
        _begin_again(state, state.end)


def _protect(_app: Flask, **_: Any) -> None:
    """End a session that Flask-Login's strong protection has logged out."""
    state = _state()
    if Session(state).owner is not None and USER not in flask.session:
        _begin_again(state, state.end)


def _renew(state: SessionState) -> None:
    """Make Flask-Login's user the owner. The data of another owner is dropped."""
    session, owner = Session(state), find_owner(flask.session)
    if session.owner in {None, owner}:
        session.renew(owner)
    else:
        _begin_again(state, partial(session.renew, owner))


def _begin_again(state: SessionState, action: Callable[[], object]) -> None:
    """Call `action`, which drops all data, and assign again what this request has assigned."""
    own = state.load().fields.own()
    action()
    for field, value in own.items():
        state.assign(field, value)


@contextmanager
def _taken_back() -> Iterator[SessionState]:
    """Take back what Flask-Login wrote where the block raises."""
    state = _state()
    try:
        yield state
    except Exception:
        _take_back(state)
        flask.g.pop("_login_user", None)
        raise


def _take_back(state: SessionState) -> None:
    for key in KEYS:
        state.unloaded().fields.take_back(key)


def _state() -> SessionState:
    return state_of(flask.session)


def guard(app: Flask) -> None:
    """Put `_finish` around Flask-Login's last step in each request, which sends or clears the remember cookie.

    It reads the session after every request, static files too: a round trip, and a 500 during an outage.
    """
    for functions in app.after_request_funcs.values():
        for place, function in enumerate(functions):
            if getattr(function, "__name__", "") == "_update_remember_cookie":
                functions[place] = partial(_finish, function)


def _finish(update: Callable[[Response], Any], response: Response) -> Any:
    """Call Flask-Login's last step, unless the request did not use the session."""
    session = flask.session._get_current_object()  # type: ignore[attr-defined]
    if not isinstance(session, SessionData):
        return update(response)
    state, user = state_of(session), flask.g.get("_login_user")
    if not state.used and not flask.current_app.config.get("REMEMBER_COOKIE_REFRESH_EACH_REQUEST"):
        return response
    if user is not None and not user.is_authenticated and state.unloaded().fields.is_assigned(USER):
        _take_back(state)  # the user of a remember cookie that is not valid any more
    try:
        return update(response)
    except SessionError:  # the view, or the end of the request, answers with it
        return response
