"""Waiting for a condition, and asking a server over HTTP whether it is ready."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.spec import ClusterError

_POLL = 0.02


def wait_until(condition: Callable[[], bool], timeout: float, message: str) -> None:
    """Block until `condition` holds. Raises ClusterError("<message> within <timeout> s") after `timeout` seconds."""
    if not holds_within(condition, timeout):
        raise ClusterError(f"{message} within {timeout:g} s")


def holds_within(condition: Callable[[], bool], timeout: float, poll: float = _POLL) -> bool:
    """Return True as soon as `condition` holds, or False after `timeout` seconds. It is asked every `poll` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def look_until(stopping: threading.Event, pause: Callable[[float], float]) -> Iterator[None]:
    """Yield for one look after another until `stopping` is set. `pause` returns the seconds to the next one, from those
    that a look took."""
    seconds = 0.0
    while not stopping.wait(seconds):
        begin = time.monotonic()
        yield
        seconds = pause(time.monotonic() - begin)


def http_ok(port: int, path: str, authority: Path | None = None) -> bool:
    """Return whether GET http://127.0.0.1:port/path is answered with 200 within a second. With `authority` (a PEM file)
    it is https, and the server's certificate must be from that authority."""
    if authority is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    else:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
