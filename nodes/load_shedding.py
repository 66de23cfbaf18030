"""Refuse requests that waited too long for a worker that is behind: 503 with Retry-After, before the work is done.

A worker that its store blocks, as files and SQLite on a slow disk do, works on one request after the other. The others
wait in their connections, where the proxy's bound on requests in flight may have room for all of them. Without a bound
on the wait each of them would be served so late that its proxy has given it up: 504, and a read is sent again to
another node, which is as late.

A worker that stood still, as one that was just started, has late requests too, and is soon through with them. So it
refuses them only after it was behind for a while.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LATE = 0.75
"""Seconds of waiting from which on a request is late: far below `get_timeout` of the proxy."""
PATIENCE = 1.0
"""Seconds for which a worker serves late requests while it is behind. Then it refuses them."""
CAUGHT_UP = 2.0
"""Seconds without a late request after which a worker is no longer behind. One request in time says little, because a
worker does not serve requests in the order in which they came."""
STATUS = "503 Service Unavailable"
_BODY = b"Too many requests at present: nothing was done"
_HEADERS = [
    ("Content-Type", "text/plain"),
    ("Content-Length", str(len(_BODY))),
    ("Retry-After", "1"),
    ("Cache-Control", "no-store"),
]
_FREE = frozenset({"/live", "/ready", "/metrics"})
"""For monitors, who would take a refusal for a dead node."""
_LAST_DATA_RECEIVED = 52
"""Offset of this field in Linux's `struct tcp_info`: four bytes, in ms."""


class LoadShedder:
    """WSGI middleware under gunicorn, whose environment has the connection. `clock` returns seconds."""

    def __init__(self, application: WSGIApplication, clock: Callable[[], float] = time.monotonic) -> None:
        self._application = application
        self._clock = clock
        self._behind_since = float("-inf")
        self._served_at = float("-inf")
        """When it was last through with a request."""
        self._late_at = float("-inf")
        """When it last began a late request, or refused one."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        if connection is None or not self.is_too_late(waited(connection)) or environ.get("PATH_INFO") in _FREE:
            try:
                return self._application(environ, start_response)
            finally:
                self._served_at = self._clock()
        start_response(STATUS, _HEADERS.copy())
        return [_BODY]

    def is_too_late(self, seconds: float) -> bool:
        """Return whether to refuse a request that has waited this long. Call it for each request."""
        if seconds <= LATE:
            return False
        now = self._clock()
        # One that came when there was nothing else to do did not wait for others: the worker stood still.
        if now - self._late_at > CAUGHT_UP or now - seconds > self._served_at:
            self._behind_since = now
        self._late_at = now
        return now - self._behind_since > PATIENCE


def waited(connection: Any) -> float:
    """Return the seconds since the kernel received the last bytes of a connection; 0 where it can't say.

    Also where the connection itself waited to be accepted. Takes about a microsecond.
    """
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED + 4)
    except (AttributeError, OSError):  # not Linux, or not TCP
        return 0.0
    return struct.unpack_from("=I", info, _LAST_DATA_RECEIVED)[0] / 1000 if len(info) > _LAST_DATA_RECEIVED else 0.0
