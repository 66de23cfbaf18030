"""gunicorn's response in one send: its head leaves together with the first bytes of its body.

A send that wakes a sleeping client takes 30 to 45 us of CPU, so two of them were a third of gunicorn's own time.
docs/performance.md has the figures. All else is gunicorn's: when a connection closes, what is chunked, files, HEAD.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.message import HeaderPolicy

_MOST_JOINED = 64 * 1024
"""Bytes of a body that are copied to leave with the head. More leave in a send of their own."""
_OF_FRAMING = frozenset({"content-length", *util.hop_headers})


class OneSendResponse(wsgi.Response):  # type: ignore[misc]
    """A response whose head waits for the first bytes of its body, or for its end where there are none."""

    headers_sent: bool
    _head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if type(value) is str and _is_plain(name) and wsgi.HEADER_VALUE_RE.fullmatch(value):
                self.headers.append((name, value.strip(" \t")))
            else:
                super().process_headers([(name, value)])

    def send_headers(self) -> None:
        """Make the head, once. It is sent by whatever sends next."""
        if self.headers_sent:
            return
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        major, minor = self.req.version
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\nServer: {self.version}\r\n"
            f"Date: {_http_date(int(time.time()))}\r\nConnection: {connection}\r\n",
            "Transfer-Encoding: chunked\r\n" if self.chunked else "",
            *[f"{name}: {value}\r\n" for name, value in self.headers],
            "\r\n",
        ]
        self._head = "".join(lines).encode("latin-1")
        self.headers_sent = True

    def sendfile(self, respiter: Any) -> bool:
        self._send_head()
        return bool(super().sendfile(respiter))

    def close(self) -> None:
        self._send_head()
        super().close()

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        if len(data) > _MOST_JOINED:
            self._send_head()
        self._send(data)

    def _send_head(self) -> None:
        self.send_headers()
        self._send(b"")

    def _send(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        if data:
            # In one system call what fits into the socket's buffer; gevent's `sendall` makes two.
            sent = self.sock.send(data)
            if sent < len(data):
                self.sock.sendall(memoryview(data)[sent:])


@lru_cache(maxsize=256)
def _is_plain(name: str) -> bool:
    """Return whether a header's name is well-formed and no name that gunicorn treats in its own way."""
    return wsgi.TOKEN_RE.fullmatch(name) is not None and name.lower() not in _OF_FRAMING


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    return str(util.http_date(second))


def use_in_this_process(cfg: Any) -> None:
    """Make gunicorn answer with `OneSendResponse`, for which it has no setting, and look its settings up once.

    It calls `__getattr__` for each look at a setting, more than 20 times for a request, and reads the address of each
    peer, to see whether it is trusted.
    """
    wsgi.Response = OneSendResponse
    if not (cfg.secure_scheme_headers or cfg.forwarder_headers):  # no peer may set anything, whether trusted or not
        HeaderPolicy._peer_trusted_for_forwarded = lambda _: ({}, [])
    vars(cfg).update({name: getattr(cfg, name) for name in cfg.settings})
