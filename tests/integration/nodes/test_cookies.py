"""Cookies that nobody was given, sent byte by byte to a node under gunicorn: anonymous, never an error."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.node import RunningNode


@pytest.fixture(scope="module")
def node(users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(users_file, tmp_path_factory.mktemp("node") / "node.log") as running:
        yield running


@pytest.fixture(scope="module")
def genuine(node: RunningNode) -> bytes:
    cookie = node.log_in().cookies["session"]
    assert user_of(node, b"Cookie: session=" + cookie.encode()) == b"alice"
    return bytes(cookie.encode())


def user_of(node: RunningNode, *headers: bytes) -> bytes | None:
    """Who `GET /me` says that this is; fails unless it answers 200."""
    lines = [b"GET /me HTTP/1.1", f"Host: 127.0.0.1:{node.port}".encode(), b"Connection: close", *headers]
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    assert b"set-cookie" not in head.lower()
    return None if b'"user":null' in body else body.split(b'"user":"')[1].split(b'"')[0]


Bend = Callable[[bytes], bytes]
BENT: dict[str, Bend] = {
    "empty": lambda cookie: b"session=",
    "without a value": lambda cookie: b"session",
    "forged": lambda cookie: b"session=" + b"A" * 43 + b"." + b"A" * 43,
    "with a flipped first letter": lambda cookie: b"session=" + bytes([cookie[0] ^ 1]) + cookie[1:],
    "with a flipped signature": lambda cookie: b"session=" + cookie[:-10] + bytes([cookie[-10] ^ 1]) + cookie[-9:],
    "truncated": lambda cookie: b"session=" + cookie[:-1],
    "without its signature": lambda cookie: b"session=" + cookie.split(b".")[0],
    "extended": lambda cookie: b"session=" + cookie + b"A",
    "doubled": lambda cookie: b"session=" + cookie + b"; session=" + cookie,
    "beside a planted one": lambda cookie: b"session=planted; session=" + cookie,
    "quoted": lambda cookie: b'session="' + cookie + b'"',
    "with $Version": lambda cookie: b'$Version=1; session="' + cookie + b'"',
    "of 8 KB": lambda cookie: b"session=" + (cookie * 100)[:8192],
    "beside 8 KB of others": lambda cookie: b"other=" + b"x" * 8192 + b"; session=" + cookie[:-1],
    "not UTF-8": lambda cookie: b"session=\xff\xfe\x80" + cookie,
    "with bytes above ASCII": lambda cookie: b"session=" + cookie + b"\xa0",
    "escaped": lambda cookie: b"session=%41" + cookie[1:],
    "with a tab inside": lambda cookie: b"session=" + cookie[:20] + b"\t" + cookie[20:],
    "under another case": lambda cookie: b"Session=" + cookie,
    "with the prefix of TLS": lambda cookie: b"__Host-session=" + cookie,
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT.keys())
def test_a_bent_cookie_is_nobody_s(node: RunningNode, genuine: bytes, bend: Bend) -> None:
    assert user_of(node, b"Cookie: " + bend(genuine)) is None


def test_a_cookie_in_two_header_lines_is_nobody_s(node: RunningNode, genuine: bytes) -> None:
    assert user_of(node, b"Cookie: session=planted", b"Cookie: session=" + genuine) is None


def test_the_genuine_cookie_is_still_good_afterwards(node: RunningNode, genuine: bytes) -> None:
    assert user_of(node, b"Cookie: other=1; session=" + genuine + b"; last=2") == b"alice"
