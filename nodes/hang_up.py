"""Do no work for requests whose proxy has hung up.

Under load a request may wait in its connection for longer than the proxy waits for its answer (`get_timeout`). The
proxy then hangs up and asks another node. A node that works for the first attempt all the same makes others wait
longer, until they are given up too: every node is busy, and nothing is answered. So a worker looks before it begins.

Only behind a proxy (TRUSTED_PROXIES): other clients may close their side of the connection and wait for the answer.
"""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gevent import monkey

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STATUS = "499 Client Closed Request"
"""nginx's status for this; it appears in logs and metrics alone."""
_CLOSED = getattr(select, "POLLRDHUP", select.POLLHUP)
_poll = monkey.get_original("select", "poll")  # gevent's own would wait


class HangUpGuard:
    """WSGI middleware under gunicorn, whose environment has the connection."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        if connection is None or not has_hung_up(connection.fileno()):
            return self._application(environ, start_response)
        start_response(STATUS, [("Content-Length", "0"), ("Connection", "close")])
        return []


def has_hung_up(descriptor: int) -> bool:
    """Return whether the other side has closed its direction of this connection. Takes some microseconds."""
    poll = _poll()
    poll.register(descriptor, _CLOSED)
    return bool(poll.poll(0))
