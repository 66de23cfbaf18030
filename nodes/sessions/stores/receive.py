"""Receive a piece of an answer within what is left of a deadline, on plain sockets and with TLS."""

from __future__ import annotations

import select
import ssl
import time
from typing import Any


def receive(sock: Any, buffer: bytearray, seconds: float) -> int:
    """Receive a piece into `buffer` within `seconds`, and return its size; 0 at the end. Raises OSError.

    The socket keeps its own timeout. A TLS socket waits here, because under gevent its timeout starts again with each
    packet of a record.
    """
    if seconds <= 0:
        raise TimeoutError("timed out")
    own = sock.gettimeout()
    is_tls = hasattr(sock, "pending")
    until = time.monotonic() + seconds
    sock.settimeout(0 if is_tls else seconds)
    try:
        if not is_tls:
            return int(sock.recv_into(buffer))
        while (left := until - time.monotonic()) > 0:
            try:
                return int(sock.recv_into(buffer))
            except ssl.SSLWantReadError:
                poll = select.poll()
                poll.register(sock, select.POLLIN)
                poll.poll(left * 1000)
        raise TimeoutError("timed out")
    finally:
        sock.settimeout(own)
