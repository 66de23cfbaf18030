"""A node under gunicorn: forged cookies and large bodies, sent byte for byte, and what it logs."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.node import PASSWORD, RunningNode


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


def test_an_item_name_of_ten_megabytes_is_too_large(node: RunningNode) -> None:
    browser = node.log_in()
    answer = browser.post(f"{node.url}/cart", json={"item": "x" * 10_000_000, "quantity": 1}, timeout=30)
    assert answer.status_code == 413
    assert "64 KiB" in answer.json()["error"]
    assert browser.get(f"{node.url}/me", timeout=10).json()["cart"] == {}


def test_a_body_that_does_not_say_its_size_is_cut_off(node: RunningNode) -> None:

    def status(*chunks: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        return requests.post(f"{node.url}/cart", data=iter(chunks), headers=headers, timeout=30).status_code

    assert status(b'{"item": "apple",', b'"quantity": 1}') == 200
    assert status(b'{"item": "apple", "quantity": 1}', *[b" " * 65536] * 20) == 413


def test_a_connection_that_ends_in_the_middle_of_a_body_is_no_error(node: RunningNode) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(
            b"POST /cart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
    assert requests.get(f"{node.url}/live", timeout=10).status_code == 200
    assert not [line for line in node.lines() if line["level"] == "error"]


def test_each_request_is_one_line_with_the_hash_of_its_session(node: RunningNode) -> None:
    browser = node.log_in()
    sent = {"X-Request-ID": "4bf92f3577b34da6a3ce929d0e0e4736"}
    browser.get(f"{node.url}/me?password={PASSWORD}", headers=sent, timeout=10)
    (line,) = [line for line in node.lines() if line.get("request_id") == sent["X-Request-ID"]]
    assert (line["method"], line["path"], line["status"], line["node"]) == ("GET", "/me", 200, "node-2")
    assert 0 < line["duration_ms"] < 10_000
    session_id = browser.cookies["session"].split(".")[0]
    assert line["session"] == hashlib.sha256(session_id.encode()).hexdigest()
    anonymous = requests.get(f"{node.url}/me", timeout=10).headers["X-Request-ID"]
    (line,) = [line for line in node.lines() if line.get("request_id") == anonymous]
    assert "session" not in line


def test_health_checks_do_not_fill_the_log(node: RunningNode) -> None:
    paths = ("/live", "/ready", "/metrics")
    for path in paths:
        requests.get(f"{node.url}{path}", timeout=10)
    assert not [line for line in node.lines() if line.get("path") in paths]
