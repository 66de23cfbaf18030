"""Requests of an attacker, byte for byte, to real nodes and their real store, directly and through a real nginx."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request

from nodes.sessions import cookie
from tests.integration.security.cluster import NOBODY, Cluster, credentials, id_of, raw, signed
from tests.support.valkey import monitored


def test_a_key_of_a_stolen_dump_logs_nobody_in(cluster: Cluster) -> None:
    browser = cluster.log_in()
    key = cookie.hash_id(id_of(browser))
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
            cluster.store.client().hset(f"session:{{{cookie.hash_id(id_of(browser))}}}", field, bomb)
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
    name = f"session:{{{cookie.hash_id(id_of(browser))}}}"
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
