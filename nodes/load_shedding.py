"""Refuse requests that waited too long for a worker that has too much to do.

A worker is one event loop. In each turn it takes the requests whose data has come, one after another, and with too many
of them a turn takes seconds: all requests become slow, clients give up, and what was computed for them is lost. So a
request that is reached late in a turn is answered 503 at once, before any work is done for it, and the worker finishes
in time what it has begun. The proxy bounds the number of requests (`max_in_flight`); this bounds their time, whatever
each of them costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import gevent

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RETRY_AFTER = 1
"""Value of Retry-After in seconds: a worker is through with what it has begun by then."""
_ALWAYS = frozenset({"/live", "/ready", "/metrics"})
_TEXT = "The server has too much to do. Nothing was done for this request: try again in a moment."


class LoopTurn:
    """Measures how long the current turn of gevent's event loop takes. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        # The loop calls check watchers first, as soon as it knows which sockets are ready.
        self._watcher = gevent.get_hub().loop.check(ref=False)
        self._watcher.start(self._begin)

    def _begin(self) -> None:
        self._began = self._clock()

    def seconds(self) -> float:
        """Return for how long a request that is reached now has waited in this turn."""
        return self._clock() - self._began


class LoadShedder:
    """WSGI middleware: answers 503 where `waited` returns more than `limit` seconds. Operators are always answered."""

    def __init__(self, application: WSGIApplication, waited: Callable[[], float], limit: float) -> None:
        self._application, self._waited, self._limit = application, waited, limit

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._waited() <= self._limit or environ.get("PATH_INFO") in _ALWAYS:
            return self._application(environ, start_response)
        is_browser = "text/html" in environ.get("HTTP_ACCEPT", "")
        body = (_TEXT if is_browser else json.dumps({"error": _TEXT})).encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8" if is_browser else "application/json"),
            ("Content-Length", str(len(body))),
            ("Retry-After", str(RETRY_AFTER)),
            ("Cache-Control", "no-store"),
        ]
        start_response("503 Service Unavailable", headers)
        return [body]
