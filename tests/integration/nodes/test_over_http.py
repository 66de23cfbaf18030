"""A node under gunicorn: forged cookies and large bodies, sent byte for byte, and what it logs."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.http_client import HttpClient, send_raw
from tests.support.node import PASSWORD, RunningNode


@pytest.fixture(scope="module")
def node(users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(users_file, tmp_path_factory.mktemp("node") / "node.log") as running:
        yield running


@pytest.fixture(scope="module")
def genuine(node: RunningNode) -> bytes:
    return str(node.log_in().cookies["session"]).encode()


def user_of(node: RunningNode, *headers: bytes) -> bytes | None:
    """Return the user that `GET /me` reports. Raises AssertionError unless it answers 200."""
    lines = [b"GET /me HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *headers]
    answer = send_raw(node.port, b"\r\n".join(lines) + b"\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    assert b"set-cookie" not in head.lower()
    return None if b'"user":null' in body else body.split(b'"user":"')[1].split(b'"')[0]


# What gunicorn makes of a header; tests/unit/sessions/test_cookie.py has the other wrong forms.
BENT: dict[str, Callable[[bytes], list[bytes]]] = {
    "in two header lines": lambda cookie: [b"Cookie: session=planted", b"Cookie: session=" + cookie],
    "doubled": lambda cookie: [b"Cookie: session=" + cookie + b"; session=" + cookie],
    "with $Version": lambda cookie: [b'Cookie: $Version=1; session="' + cookie + b'"'],
    "of 8 KB": lambda cookie: [b"Cookie: session=" + (cookie * 100)[:8192]],
    "beside 8 KB of others": lambda cookie: [b"Cookie: other=" + b"x" * 8192 + b"; session=" + cookie[:-1]],
    "not UTF-8": lambda cookie: [b"Cookie: session=\xff\xfe\x80" + cookie],
    "with bytes above ASCII": lambda cookie: [b"Cookie: session=" + cookie + b"\xa0"],
    "with a tab inside": lambda cookie: [b"Cookie: session=" + cookie[:20] + b"\t" + cookie[20:]],
}


def test_a_planted_cookie_beside_the_genuine_one_is_ignored(node: RunningNode, genuine: bytes) -> None:
    assert user_of(node, b"Cookie: session=planted; session=" + genuine) == b"alice"


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT.keys())
def test_a_cookie_that_is_not_sent_as_it_was_set_is_anonymous(
    node: RunningNode, genuine: bytes, bend: Callable[[bytes], list[bytes]]
) -> None:
    assert user_of(node, *bend(genuine)) is None
    assert user_of(node, b"Cookie: other=1; session=" + genuine + b"; last=2") == b"alice"


def test_an_item_name_of_ten_megabytes_is_too_large(node: RunningNode) -> None:
    browser = node.log_in()
    answer = browser.post("/cart", json={"item": "x" * 10_000_000, "quantity": 1})
    assert answer.status_code == 413
    assert "64 KiB" in answer.json()["error"]
    assert browser.get("/me").json()["cart"] == {}


def test_a_body_that_does_not_say_its_size_is_cut_off(node: RunningNode) -> None:
    client = HttpClient(node.url, {"Content-Type": "application/json"})

    def status(*chunks: bytes) -> int:
        return client.post("/cart", data=iter(chunks)).status_code

    assert status(b'{"item": "apple",', b'"quantity": 1}') == 200
    assert status(b'{"item": "apple", "quantity": 1}', *[b" " * 65536] * 20) == 413


def test_a_connection_that_ends_in_the_middle_of_a_body_is_not_an_error(node: RunningNode) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(
            b"POST /cart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
    assert HttpClient(node.url).get("/live").status_code == 200
    assert not [line for line in node.lines() if line["level"] == "error"]


def test_each_request_is_one_line_with_the_hash_of_its_session(node: RunningNode) -> None:
    browser = node.log_in()
    sent = {"X-Request-ID": "4bf92f3577b34da6a3ce929d0e0e4736"}
    browser.get(f"/me?password={PASSWORD}", headers=sent)
    (line,) = [line for line in node.lines() if line.get("request_id") == sent["X-Request-ID"]]
    assert (line["method"], line["path"], line["status"], line["node"]) == ("GET", "/me", 200, "node-2")
    assert 0 < line["duration_ms"] < 10_000
    session_id = browser.cookies["session"].split(".")[0]
    assert line["session"] == hashlib.sha256(session_id.encode()).hexdigest()
    anonymous = HttpClient(node.url).get("/me").headers["X-Request-ID"]
    (line,) = [line for line in node.lines() if line.get("request_id") == anonymous]
    assert "session" not in line


def test_health_checks_do_not_fill_the_log(node: RunningNode) -> None:
    ids = {HttpClient(node.url).get(path).headers["X-Request-ID"] for path in ("/live", "/ready", "/metrics")}
    HttpClient(node.url).get("/me")  # whose line is written after theirs would be
    assert len(ids) == 3
    assert not [line for line in node.lines() if line.get("request_id") in ids]
