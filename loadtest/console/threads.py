"""Work that may block, in a thread beside the page's gevent hub: a member that hangs must not hold the page up."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent

T = TypeVar("T")
P = ParamSpec("P")


def in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what the function returns, or raise what it raises; gevent's own way prints each error, too."""
    errors: list[Exception] = []
    values: list[T] = []

    def call() -> None:
        try:
            values.append(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    gevent.get_hub().threadpool.apply(call)
    if errors:
        raise errors[0]
    return values[0]
