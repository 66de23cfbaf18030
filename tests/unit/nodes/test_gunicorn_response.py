"""The node's response in one send: byte for byte the one that gunicorn sends in several."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.workers.ggevent import GeventWorker

from nodes import gunicorn_response
from nodes.gunicorn_response import OneSendResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DATE = "Fri, 27 Nov 2026 04:00:00 GMT"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Socket:
    """A client's socket that takes at most `most` bytes in one send, and remembers each of them."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.sent: list[bytes] = []
        self._most = most

    def send(self, data: bytes) -> int:
        most = len(data) if b" 100 Continue" in data else self._most  # gunicorn's own send, which ignores the rest
        self.sent.append(bytes(data)[:most])
        return min(len(data), most)

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def sendfile(self, file: Any, offset: int, count: int) -> None:
        self.sent.append(os.pread(file.fileno(), count, offset))

    def shutdown(self, how: int) -> None:
        self.sent.append(b"(shut down)")

    def close(self) -> None:
        self.sent.append(b"(closed)")


def answer(application: WSGIApplication, request: bytes = GET, most: int = 1 << 30) -> tuple[list[bytes], str]:
    """Return what a worker sends for one request, and how it went on: kept, closed or an exception's name."""
    configuration = Config()
    worker = GeventWorker(1, os.getppid(), [], None, 30, configuration, Logger(configuration))
    worker.wsgi = application
    client = Socket(most)
    parsed = Request(configuration, IterUnreader(iter([request])), ("127.0.0.1", 5000))
    try:
        worker.handle_request(("127.0.0.1", 8000), parsed, client, ("127.0.0.1", 5000))
    except StopIteration:
        return client.sent, "closed"
    except Exception as error:  # noqa: BLE001 - gunicorn's handle() answers it, which is outside of the response
        return client.sent, type(error).__name__
    finally:
        worker.tmp.close()
    return client.sent, "kept"


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gunicorn.util.http_date", lambda _timestamp=None: DATE)
    gunicorn_response._http_date.cache_clear()


def says(status: str, headers: list[tuple[str, str]], *pieces: bytes) -> WSGIApplication:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers)
        return pieces

    return application


def fails_after(*pieces: bytes) -> WSGIApplication:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "90")])
        yield from pieces
        raise LookupError("in the middle")

    return application


def writes(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [("Content-Length", "6")])
    write(b"abc")
    write(b"def")
    return []


def file_of(size: int, length: str | None) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [] if length is None else [("Content-Length", length)])
        file = tempfile.TemporaryFile()  # noqa: SIM115 - gunicorn closes it
        file.write(b"x" * size)
        file.seek(0)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    return application


def hints(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


FIXED = [("Content-Type", "text/plain"), ("Content-Length", "5"), ("X-Tab", "\ta b\t"), ("Set-Cookie", "a=b; Path=/")]
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
CASES: dict[str, tuple[WSGIApplication, bytes]] = {
    "a page": (says("200 OK", FIXED, b"hello"), GET),
    "a page in pieces": (says("200 OK", FIXED, b"he", b"", b"llo"), GET),
    "longer than announced": (says("200 OK", FIXED, b"hello", b"hello"), GET),
    "shorter than announced": (says("200 OK", FIXED, b"hell"), GET),
    "of a megabyte": (says("200 OK", [("Content-Length", str(1 << 20))], b"x" * (1 << 20)), GET),
    "chunked": (says("200 OK", [], b"he", b"", b"llo" * 10), GET),
    "chunked and empty": (says("200 OK", []), GET),
    "chunked and large": (says("200 OK", [], b"x" * 70_000, b"y"), GET),
    "empty": (says("200 OK", [("Content-Length", "0")]), GET),
    "HEAD": (says("200 OK", FIXED, b"hello"), HEAD),
    "204": (says("204 No Content", [("Content-Length", "0")]), GET),
    "304": (says("304 Not Modified", FIXED, b"hello"), GET),
    "redirect without a reason": (says("302", [("Location", "/"), ("Content-Length", "0")]), GET),
    "HTTP/1.0": (says("200 OK", [], b"hello"), OLD),
    "HTTP/1.0, kept": (says("200 OK", FIXED, b"hello"), OLD_KEPT),
    "told to close": (says("200 OK", FIXED, b"hello"), CLOSING),
    "100-continue": (says("200 OK", FIXED, b"hello"), EXPECTING),
    "early hints": (hints, GET),
    "hop-by-hop headers": (
        says("200 OK", [*FIXED, ("Connection", "close"), ("Server", "x"), ("TE", "y")], b"hello"),
        GET,
    ),
    "an upgrade": (says("101 Switching", [("Connection", "upgrade"), ("Upgrade", "websocket")]), GET),
    "write()": (writes, GET),
    "a file": (file_of(9000, "9000"), GET),
    "a file without a length": (file_of(9000, None), GET),
    "a file for HEAD": (file_of(9000, "9000"), HEAD),
    "an empty file": (file_of(0, "0"), GET),
    "an error before the first byte": (fails_after(), GET),
    "an error after the first byte": (fails_after(b"hello"), GET),
    "a name with a space": (says("200 OK", [("X Y", "1")], b""), GET),
    "a name with a line end": (says("200 OK", [("X\r\nY", "1")], b""), GET),
    "a value with a line end": (says("200 OK", [("X-Y", "1\r\nSet-Cookie: a=b")], b""), GET),
    "a value of bytes": (says("200 OK", [("X-Y", b"1")], b""), GET),  # type: ignore[list-item]
    "a length of letters": (says("200 OK", [("Content-Length", "ten")], b""), GET),
}


@pytest.mark.parametrize(("application", "request_bytes"), CASES.values(), ids=CASES.keys())
def test_an_answer_is_gunicorns_own_byte_for_byte(
    application: WSGIApplication, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, end = answer(application, request_bytes)
    monkeypatch.setattr(wsgi, "Response", OneSendResponse)
    for most in (1 << 30, 3):
        ours, our_end = answer(application, request_bytes, most)
        assert (b"".join(ours), our_end) == (b"".join(sent), end)
    assert not [piece for piece in ours if not piece]


SENDS: dict[str, tuple[WSGIApplication, int]] = {
    "a page": (says("200 OK", FIXED, b"hello"), 1),
    "a redirect": (says("302 Found", [("Location", "/"), ("Content-Length", "0")]), 1),
    "a stream of two pieces": (says("200 OK", [], b"he", b"llo"), 3),
}


@pytest.mark.parametrize(("application", "sends"), SENDS.values(), ids=SENDS.keys())
def test_head_and_body_leave_in_one_send(
    application: WSGIApplication, sends: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi, "Response", OneSendResponse)
    assert len(answer(application)[0]) == sends


def test_each_piece_of_a_stream_leaves_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "Response", OneSendResponse)
    made: list[str] = []
    original: Callable[[Any, bytes], int] = Socket.send
    monkeypatch.setattr(Socket, "send", lambda self, data: made.append("sent") or original(self, data))

    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        for number in range(2):
            made.append("made")
            yield str(number).encode()

    answer(application)
    assert made == ["made", "sent", "made", "sent"]
