"""Views that ask for a fresh login, however long the session has been logged in (ASVS 5.0, 7.5.1 and 7.5.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import flask

from .session import Session

P = ParamSpec("P")
R = TypeVar("R")


def fresh_login(seconds: float = 300) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for views: unless the user logged in within the last `seconds`, it raises `LoginTooOld` (401).

    A login by `session.renew(owner=...)` makes it fresh again, and keeps the session's data.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            cast(Session, flask.session).require_fresh_login(seconds)
            return view(*args, **kwargs)

        return checked

    return decorate
