"""Receive within what is left of a deadline, on plain sockets and with TLS, whose handshake is made here too.

A TLS socket waits here and not in its own methods: under gevent their timeout starts again with each packet, so that a
byte each 0.15 s would hold a request for as long as they come.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def receive(sock: Any, buffer: bytearray, seconds: float) -> int:
    """Receive a piece into `buffer` within `seconds`, and return its size; 0 at the end. Raises OSError.

    The socket keeps its own timeout.
    """
    if seconds <= 0:
        raise TimeoutError("timed out")
    own = sock.gettimeout()
    is_tls = hasattr(sock, "pending")
    sock.settimeout(0 if is_tls else seconds)
    try:
        read = partial(sock.recv_into, buffer)
        return int(_repeat(read, sock, seconds) if is_tls else read())
    finally:
        sock.settimeout(own)


def start_tls(context: ssl.SSLContext, sock: Any, name: str, seconds: float) -> ssl.SSLSocket:
    """Return `sock` with TLS, whose handshake with the server `name` takes at most `seconds`. Raises OSError."""
    own = sock.gettimeout()
    secured = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    try:
        secured.settimeout(0)
        _repeat(secured.do_handshake, secured, seconds)
        secured.settimeout(own)
    except BaseException:
        secured.close()
        raise
    return secured


def _repeat(step: Callable[[], T], sock: Any, seconds: float) -> T:
    """Call `step` on a TLS socket that does not block, until it is done. Raises TimeoutError after `seconds`."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            return step()
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except ssl.SSLWantWriteError:
            wanted = select.POLLOUT
        poll = select.poll()
        poll.register(sock, wanted)
        poll.poll(left * 1000)
    raise TimeoutError("timed out")
