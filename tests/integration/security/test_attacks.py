"""Requests of an attacker, byte for byte, to real nodes and their real store, directly and through a real nginx."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.wrappers import Request

from nodes import Settings
from nodes.sessions import SessionOptions, cookie
from tests.integration.security.cluster import NOBODY, Cluster, credentials, id_of, raw, signed
from tests.nodes.running import SECRET
from tests.sessions.valkey import monitored

SMUGGLED = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "folded": b"X-A: b\r\n c\r\n\r\n",
    "NUL": b"X-A: b\x00c\r\n\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before the colon": b"Content-Length : 5\r\n\r\n",
    "signed length": b"Content-Length: +5\r\n\r\n",
    "two hosts": b"Host: evil\r\n\r\n",
    "no chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "bare LF in the chunks": b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
}
BARE_LF = b"POST /visits HTTP/1.1\nHost: %s\nContent-Length: 0\n\n"
"""nginx takes it (RFC 9112, 2.2, allows that) and writes it anew; gunicorn does not."""
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"


def was_seen(cluster: Cluster, path: str) -> bool:
    return any(line.get("path") == path for node in cluster.nodes for line in node.lines())


@pytest.mark.parametrize("where", ["node", "proxy"])
@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_smuggling_is_refused_and_the_node_serves_on(cluster: Cluster, rest: bytes, where: str) -> None:
    port = cluster.nodes[0].port if where == "node" else cluster.proxy.port
    host = b"127.0.0.1:%d" % port
    answer = raw(port, b"POST /visits HTTP/1.1\r\nHost: " + host + b"\r\n" + rest + SECOND % host)
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert not answer or answer[9:12] in {b"400", b"501"}, answer
    assert not was_seen(cluster, "/smuggled")
    assert [requests.get(f"{url}/live", timeout=20).status_code for url in cluster.urls] == [200] * 3


def test_bare_lf_ends_no_line_for_a_node_and_frames_nothing_else_for_nginx(cluster: Cluster) -> None:
    direct, proxied = cluster.nodes[0].port, cluster.proxy.port
    answer = raw(direct, BARE_LF % b"127.0.0.1" + SECOND % b"127.0.0.1")
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer or answer.startswith(b"HTTP/1.1 400"), answer
    inside = b"X-A: b\n\nGET /smuggled HTTP/1.1\nHost: evil\r\n\r\n"
    answer = raw(proxied, b"GET /me HTTP/1.1\r\nHost: 127.0.0.1\r\n" + inside)
    assert answer.count(b"HTTP/1.1 ") <= 1, answer  # to nginx two requests, the second for a foreign Host: closed
    assert not was_seen(cluster, "/smuggled")


def test_7_4_4_logout_is_on_every_page_of_who_is_logged_in(cluster: Cluster) -> None:
    browser = cluster.log_in()
    for url in cluster.urls:
        for path in ("/", "/account", "/sessions"):
            page = browser.get(f"{url}{path}", headers={"Accept": "text/html"}, timeout=20)
            assert 'action="/logout"' in page.text, path


def test_flooding_with_requests_without_a_cookie_leaves_no_key(cluster: Cluster) -> None:
    assert SessionOptions(secrets=(SECRET,)).save_uninitialized is False
    assert Settings(node_name="n", secrets=(SECRET,), users_file=Path("users")).save_uninitialized is False
    client: Any = cluster.store.client()
    before = client.dbsize()
    with requests.Session() as flood:
        for number in range(300):
            answer = flood.get(f"{cluster.urls[number % 3]}/me", timeout=20)
            assert "Set-Cookie" not in answer.headers
    assert client.dbsize() == before


def test_a_key_of_a_stolen_dump_logs_nobody_in(cluster: Cluster) -> None:
    browser = cluster.log_in()
    key = cookie.key_of(id_of(browser))
    assert key in cluster.stored()
    assert not any(id_of(browser).encode() in raw_key for raw_key in cluster.store.client().keys("*"))
    for planted in (key, signed(key), key + "." + browser.cookies["session"].partition(".")[2]):
        assert cluster.users_of(planted) == NOBODY
    assert cluster.users_of(browser) == ["alice"] * 3


SPACES = {"U+00A0": b"\xc2\xa0", "0xA0": b"\xa0", "U+2000": b"\xe2\x80\x80", "0x85": b"\x85", "U+0085": b"\xc2\x85",
          "0x0B": b"\x0b", "0x0C": b"\x0c", "0x1C": b"\x1c", "U+3000": b"\xe3\x80\x80"}  # fmt: skip


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_no_space_before_host_passes_for_the_prefix(cluster: Cluster, space: bytes) -> None:
    genuine = cluster.log_in().cookies["session"].encode()
    port = cluster.nodes[0].port

    def me(pair: bytes) -> bytes:
        lines = [b"GET /me HTTP/1.1", b"Host: a", b"X-Forwarded-Proto: https", b"Connection: close", b"Cookie: " + pair]
        return raw(port, b"\r\n".join(lines) + b"\r\n\r\n")

    assert b'"user":"alice"' in me(b"other=1; __Host-session=" + genuine)
    for pair in (space + b"__Host-session=", b"other=1; " + space + b"__Host-session=", b"a=" + space + b";" + space):
        answer = me(pair + genuine)
        assert b'"user":null' in answer or answer.startswith(b"HTTP/1.1 400"), answer
    # The genuine one beside a planted one goes on being the only one of its name.
    both = me(b"__Host-session=" + genuine + b"; " + space + b"__Host-session=planted")
    assert b'"user":"alice"' in both or both.startswith(b"HTTP/1.1 400"), both
    environ = {"HTTP_COOKIE": (space + b"__Host-device=x").decode("latin-1")}
    assert "__Host-device" not in Request(environ).cookies  # the one by which a browser is known is Werkzeug's to read


class Planted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_in_the_store_is_never_executed(cluster: Cluster, tmp_path: Path) -> None:
    bomb = pickle.dumps(Planted(tmp_path / "executed"))
    pickle.loads(bomb)  # it works, where anybody does this
    (tmp_path / "executed").unlink()
    for field in ("visits", "cart", "_client", "_cookie", "@"):
        for url in cluster.urls:
            browser = cluster.log_in()
            cluster.store.client().hset(f"session:{{{cookie.key_of(id_of(browser))}}}", field, bomb)
            answer = browser.get(f"{url}/me", timeout=20)
            assert (answer.status_code, answer.json()["user"]) == (200, None), field
            assert cluster.users_of(browser) == NOBODY
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "plant",
    [
        lambda client, name: (client.delete(name), client.set(name, "a string", ex=60)),
        lambda client, name: (client.delete(name), client.lpush(name, "a"), client.expire(name, 60)),
        lambda client, name: client.hset(name, "@", b"1:" + b"9" * 400 + b"::alice"),
        lambda client, name: client.hset(name, "@", b"1:300000000000000::alice"),
        lambda client, name: client.persist(name),
    ],
    ids=["string", "list", "endless time", "no date", "no expiry"],
)
def test_a_record_that_is_none_is_anonymous_on_every_node(cluster: Cluster, plant: Any) -> None:
    browser = cluster.log_in()
    name = f"session:{{{cookie.key_of(id_of(browser))}}}"
    plant(cluster.store.client(), name)
    for url in cluster.urls:
        assert browser.get(f"{url}/account", timeout=20).status_code == 401
    assert cluster.users_of(browser) == NOBODY
    assert not cluster.store.client().exists(name)
    assert browser.post(f"{cluster.url}/login", json=credentials(), timeout=20).status_code == 200


def test_a_huge_or_forged_cookie_asks_no_store(cluster: Cluster) -> None:
    genuine = cluster.log_in().cookies["session"]
    values = ["x" * 7000, genuine * 60, genuine + "A", "A" * 43 + "." + "A" * 43, "", '"' + genuine + '"']
    with monitored(cluster.store) as commands:
        for value in values:
            assert cluster.users_of(value) == NOBODY
    assert commands == []
