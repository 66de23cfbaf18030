"""Requests of an attacker, byte for byte, to a real node and its real store."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests

from nodes.accounts import create_users
from nodes.sessions import cookie
from tests.nodes.running import PASSWORD, SECRET, RunningNode
from tests.sessions.valkey import Valkey

SMUGGLED = {
    "length and chunks": b"Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Host: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "folded": b"Host: a\r\nX-A: b\r\n c\r\n\r\n",
    "NUL": b"Host: a\r\nX-A: b\x00c\r\n\r\n",
    "unknown coding": b"Host: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
}


@pytest.fixture(scope="module")
def store() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    server.close()


@pytest.fixture(scope="module")
def node(store: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder: Path = tmp_path_factory.mktemp("attacks")
    create_users(folder / "users.json", ["alice"], PASSWORD)
    with RunningNode(folder / "users.json", folder / "node.log", SESSION_STORE="redis", REDIS_URL=store.url) as node:
        yield node


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_smuggling_is_refused_and_the_node_serves_on(node: RunningNode, rest: bytes) -> None:
    second = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as client:
        client.sendall(b"POST /visits HTTP/1.1\r\n" + rest + second)
        answer = b""
        while data := client.recv(65536):
            answer += data
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), answer
    assert requests.get(f"{node.url}/live", timeout=10).status_code == 200


def test_7_4_4_logout_is_on_every_page_of_who_is_logged_in(node: RunningNode) -> None:
    browser = node.log_in()
    for path in ("/", "/account", "/sessions"):
        page = browser.get(f"{node.url}{path}", headers={"Accept": "text/html"}, timeout=10)
        assert 'action="/logout"' in page.text, path


def test_flooding_with_requests_without_a_cookie_leaves_no_key(node: RunningNode, store: Valkey) -> None:
    with redis.Redis.from_url(store.url) as client, requests.Session() as flood:
        before = client.dbsize()
        for _ in range(300):
            answer = flood.get(f"{node.url}/me", timeout=10)
            assert "Set-Cookie" not in answer.headers
        assert client.dbsize() == before


def test_a_key_of_a_stolen_dump_logs_nobody_in(node: RunningNode) -> None:
    browser = node.log_in()
    session_id = browser.cookies["session"].split(".")[0]
    for planted in (cookie.key_of(session_id), cookie.sign(cookie.key_of(session_id), SECRET.encode())):
        answer = requests.get(f"{node.url}/me", headers={"Cookie": f"session={planted}"}, timeout=10)
        assert answer.json()["user"] is None
    assert browser.get(f"{node.url}/me", timeout=10).json()["user"] == "alice"
