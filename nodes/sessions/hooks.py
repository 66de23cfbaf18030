"""Steps of Flask that are wrapped because it has no hook there: the answer to an error, and the end of a request."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any

from flask import Flask
from flask.globals import request_ctx

from .data import SessionData, state_of
from .outage_log import outage_log
from .state import SessionState
from .store import AnonymousRefused, StoreUnavailable


def report_outages(app: Flask) -> None:
    """Log the reason of an outage before `app` makes a response of it, by whatever handler it has.

    A handler for `StoreUnavailable` may read the session, as a template's layout does: it is empty if it can't be read.
    """
    find = _hold_weakly(app.handle_user_exception)

    def report_and_handle(error: Exception) -> Any:
        if isinstance(error, StoreUnavailable | AnonymousRefused):
            outage_log.report(error)
        state = _find_state() if isinstance(error, StoreUnavailable) else None
        if state is None:
            return find()(error)
        state.answers_outage = True
        try:
            return find()(error)
        finally:
            state.answers_outage = False

    app.handle_user_exception = report_and_handle  # type: ignore[method-assign, assignment]


def follow_teardown(app: Flask) -> None:
    """Tell the session when the functions of `teardown_request` run, in which a late change must not be an error.

    The server would get it, and cut the response. For a stream they run before it, and again at the end of its context.
    """
    find = _hold_weakly(app.do_teardown_request)

    def tear_down(*arguments: Any, **named: Any) -> None:
        if (state := _find_state()) is None:
            find()(*arguments, **named)
            return
        state.tears_down = True
        try:
            find()(*arguments, **named)
        finally:
            state.tears_down = False

    app.do_teardown_request = tear_down  # type: ignore[method-assign]


def _find_state() -> SessionState | None:
    """Return the session of the request; None where another layer's is in its place, or none could be opened.

    `flask.session` would count as an access of the application's, and can't be asked where none was opened.
    """
    data = getattr(request_ctx._get_current_object(), "_session", None)  # type: ignore[attr-defined]
    return state_of(data) if isinstance(data, SessionData) else None


def _hold_weakly(method: Callable[..., Any]) -> Callable[[], Callable[..., Any]]:
    """Return a function that returns the method, so that an application is freed as soon as nothing refers to it."""
    if not isinstance(method, MethodType):
        return lambda: method
    reference = weakref.WeakMethod(method)

    def find() -> Callable[..., Any]:
        found = reference()
        assert found is not None, "the application serves a request"
        return found

    return find
