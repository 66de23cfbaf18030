"""Requests of an attacker, byte for byte, to nodes and their store, directly and through nginx."""

from __future__ import annotations

import html
import pickle
import random
import re
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request

from nodes import Settings
from nodes.sessions import SessionOptions, cookie
from tests.cluster.security.cluster import NOBODY, Cluster, credentials, id_of, signed
from tests.support.http_client import HttpClient, send_raw
from tests.support.node import SECRET
from tests.support.node_app import HTML
from tests.support.valkey import monitored


def test_a_key_of_a_stolen_dump_logs_no_user_in(cluster: Cluster) -> None:
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
def test_a_space_before_the_host_prefix_does_not_count_as_the_prefix(cluster: Cluster, space: bytes) -> None:
    genuine = cluster.log_in().cookies["session"].encode()
    port = cluster.nodes[0].port

    def me(pair: bytes) -> bytes:
        lines = [b"GET /me HTTP/1.1", b"Host: a", b"X-Forwarded-Proto: https", b"Connection: close", b"Cookie: " + pair]
        return send_raw(port, b"\r\n".join(lines) + b"\r\n\r\n")

    assert b'"user":"alice"' in me(b"other=1; __Host-session=" + genuine)
    for pair in (space + b"__Host-session=", b"other=1; " + space + b"__Host-session=", b"a=" + space + b";" + space):
        answer = me(pair + genuine)
        assert b'"user":null' in answer or answer.startswith(b"HTTP/1.1 400"), answer
    # Beside a planted cookie the genuine one is still the only one with its name.
    both = me(b"__Host-session=" + genuine + b"; " + space + b"__Host-session=planted")
    assert b'"user":"alice"' in both or both.startswith(b"HTTP/1.1 400"), both
    environ = {"HTTP_COOKIE": (space + b"__Host-device=x").decode("latin-1")}
    assert "__Host-device" not in Request(environ).cookies  # Werkzeug reads the device cookie


class Planted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_in_the_store_is_never_executed(cluster: Cluster, tmp_path: Path) -> None:
    bomb = pickle.dumps(Planted(tmp_path / "executed"))
    pickle.loads(bomb)  # unpickling it does execute it
    (tmp_path / "executed").unlink()
    for field in ("visits", "cart", "_client", "_cookie", "@"):
        for url in cluster.urls:
            browser = cluster.log_in()
            cluster.store.client().hset(f"session:{{{cookie.hash_id(id_of(browser))}}}", field, bomb)
            answer = browser.get(f"{url}/me")
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
def test_a_malformed_record_is_anonymous_on_every_node(cluster: Cluster, plant: Any) -> None:
    browser = cluster.log_in()
    name = f"session:{{{cookie.hash_id(id_of(browser))}}}"
    plant(cluster.store.client(), name)
    for url in cluster.urls:
        assert browser.get(f"{url}/account").status_code == 401
    assert cluster.users_of(browser) == NOBODY
    assert not cluster.store.client().exists(name)
    assert browser.post("/login", json=credentials()).status_code == 200


def test_flooding_real_nodes_leaves_no_key_in_the_store(cluster: Cluster) -> None:
    assert SessionOptions(secrets=(SECRET,)).save_uninitialized is False
    assert Settings(node_name="n", secrets=(SECRET,), users_file=Path("users")).save_uninitialized is False
    client: Any = cluster.store.client()
    before = client.dbsize()
    pages = ("/", "/me", "/account", "/sessions", "/live", "/nothing")

    def flood(url: str) -> int:
        with HttpClient(url) as stranger:
            stranger.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            answers = [stranger.get(path) for path in ("/me",) * 300 + pages * 5]
            answers += [stranger.get(path, headers=HTML) for path in pages * 5]
        assert not any("Set-Cookie" in answer.headers for answer in answers)
        return len(answers)

    with ThreadPoolExecutor(3) as pool, monitored(cluster.store) as commands:
        assert sum(pool.map(flood, cluster.urls)) == 1080
    assert client.dbsize() == before
    assert commands == []


SEED = 5
REQUESTS = 200
QUIET_SECONDS = 0.4
"""After this long without a byte, the server waits for the rest of an incomplete request."""

METHODS = [
    *(b"GET", b"POST", b"DELETE", b"PUT", b"HEAD", b"OPTIONS"),
    *(b"PATCH", b"TRACE", b"get", b"G\x00T", b"", b"X" * 70),
]
PATHS = [
    *(b"/", b"/me", b"/login", b"/cart", b"/visits", b"/logout", b"/sessions/x", b"/sessions/%00", b"/static/../../x"),
    *(b"//evil", b"http://evil/", b"*", b"/%ff%fe", b"/\xff\xfe", b"/a b", b"/" + b"a" * 9000, b"", b"/?a=%zz&\x7f"),
]  # fmt: skip
VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/", b"", b"HTTP/1.1 x"]
HEADERS = [
    *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: 99999999999999999999"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: \x0bchunked"),
    *(b"Content-Type: application/json", b"Content-Type: application/x-www-form-urlencoded", b"Content-Type: \xff"),
    *(b"Content-Type: multipart/form-data", b"Content-Type: multipart/form-data; boundary=x", b"Content-Type: ;;;"),
    *(b"Content-Type: application/json; charset=nonsense", b"Content-Encoding: gzip", b"Expect: 100-continue"),
    *(b"Cookie: session=\xff\xfe", b"Cookie: session", b"Cookie: " + b"session=a; " * 500, b"Cookie: =;;=", b"Cookie:"),
    *(b"Cookie: device=\xe9; __Host-device=.", b"Cookie: session=s%3Aa.b", b"Origin: http://[", b"Origin: \x80"),
    *(b"X-Forwarded-For: \xff, ::::", b"X-Forwarded-Proto: \xc3\x28", b"X-Forwarded-Host: a/../b"),
    b"X-Request-ID: \x01",
    *(b"Host: evil", b"Host: a:99999999", b"Host: [::", b"Accept: \xff/\xff;q=x", b" folded"),
    b"Accept: text/html;q=1e999",
    *(b"Range: bytes=9-1", b"If-Modified-Since: x", b"If-None-Match: \xff", b"Upgrade: h2c", b"Connection: \x00", b":"),
    *(b"no colon", b"A" * 9000 + b": b", b"A: " + b"b" * 9000, b"Sec-Fetch-Site: x", b"User-Agent: " + b"\xf0" * 600),
]  # fmt: skip
BODIES = [
    *(b"", b"{}", b"[]", b"\xff\xfe\x00", b'{"user":"\\ud800","password":"\\ud800"}', b"[" * 5000),
    b'{"user":1,"password":[]}',
    *(b'{"user":"' + b"u" * 9000 + b'","password":"p"}', b'{"item":"\\u0000","quantity":1e400}', b"a=b&csrf_token=%ff"),
    *(b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--", b"5\r\nabc", b"zz\r\n", b"0\r\n\r\n"),
    b"user=%00&password=\xff",
]  # fmt: skip


def make_request(rng: random.Random, host: bytes) -> bytes:
    body = rng.choice(BODIES)
    headers = rng.sample(HEADERS, rng.randrange(5))
    if rng.random() < 0.85:
        headers.insert(0, b"Host: " + host)
    if rng.random() < 0.6:  # a right length, so that the server reads the rest of the request
        framing = (b"content-length", b"transfer-encoding", b"expect")
        headers = [each for each in headers if not each.lower().startswith(framing)]
        headers.append(b"Content-Length: %d" % len(body))
    lines = [b" ".join((rng.choice(METHODS[:6] * 4 + METHODS), rng.choice(PATHS), rng.choice(VERSIONS))), *headers]
    request = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if rng.random() < 0.15:
        at = rng.randrange(len(request))
        request = request[:at] + rng.randbytes(3) + request[at + rng.randrange(4) :]
    return request


@pytest.mark.parametrize("where", ["node", "proxy"])
def test_generated_requests_raise_nothing_and_the_node_serves_on(cluster: Cluster, where: str) -> None:
    port = cluster.nodes[0].port if where == "node" else cluster.proxy.port
    before = [len(node.lines()) for node in cluster.nodes]
    rng = random.Random(SEED)
    sent = [make_request(rng, b"127.0.0.1:%d" % port) for _ in range(REQUESTS)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda request: send_raw(port, request, QUIET_SECONDS), sent))
    for request, answer in zip(sent, answers, strict=True):
        for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE):
            assert status[:1] != b"5" or status in {b"501", b"505"}, (request[:500], answer[:500])
        assert b"Traceback" not in answer, request[:500]
    statuses = {answer[9:12] for answer in answers}
    assert statuses >= {b"200", b"400"}, statuses
    assert len(statuses) >= 6, statuses
    assert [HttpClient(url).get("/me").status_code for url in cluster.urls] == [200] * 3
    for node, lines in zip(cluster.nodes, before, strict=True):
        assert not [line["exception"][-700:] for line in node.lines()[lines:] if "exception" in line]
        assert len(node.workers()) == 1


BAD_LENGTH, BAD_CODING = "Invalid HTTP Header: 'CONTENT-LENGTH'", "Invalid HTTP Header: 'TRANSFER-ENCODING'"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = {
    "length and chunks": (b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400, 400, BAD_LENGTH),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400, 400, BAD_LENGTH),
    "signed length": (b"Content-Length: +5\r\n\r\n", 400, 400, BAD_LENGTH),
    "folded": (b"X-A: b\r\n c\r\n\r\n", 400, 400, "Obsolete line folding is unacceptable: 'X-A'"),
    "NUL": (b"X-A: b\x00c\r\n\r\n", 400, 400, "Invalid HTTP Header: 'X-A'"),
    "unknown coding": (b"Transfer-Encoding: xchunked\r\n\r\n", 501, 501, "Unsupported transfer coding: 'xchunked'"),
    "chunked twice": (CHUNKED * 2 + b"\r\n0\r\n\r\n", 400, 400, BAD_CODING),
    "chunked and identity": (b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501, 400, BAD_CODING),
    "space before the colon": (b"Content-Length : 5\r\n\r\n", 400, 400, "Invalid HTTP header name: 'Content-Length '"),
    "two hosts": (b"Host: evil\r\n\r\n", 400, 400, "Invalid HTTP Header: 'HOST'"),
    "no chunk": (CHUNKED + b"\r\nzz\r\n", 400, 400, "Invalid chunk size: b'zz'"),
    "bare LF in the chunks": (CHUNKED + b"\r\n1\nx\n0\n\n", 400, 400, "Invalid chunk size: b'1\\\\nx"),
}
"""The rest of a request whose body may be taken for a second request; nginx's status, a node's status and reason."""
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"


def requested_paths(cluster: Cluster) -> list[str]:
    """The path of each request that a node has answered."""
    return [line["path"] for node in cluster.nodes for line in node.lines() if "path" in line]


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)


@pytest.mark.parametrize("where", ["node", "proxy"])
@pytest.mark.parametrize(("rest", "by_nginx", "by_node", "why"), SMUGGLED.values(), ids=SMUGGLED.keys())
def test_smuggling_is_refused_once_and_closed_and_the_node_serves_on(
    cluster: Cluster, rest: bytes, by_nginx: int, by_node: int, why: str, where: str
) -> None:
    port, status = (cluster.nodes[0].port, by_node) if where == "node" else (cluster.proxy.port, by_nginx)
    host = b"127.0.0.1:%d" % port
    before = requested_paths(cluster)
    answer = send_raw(port, b"POST /visits HTTP/1.1\r\nHost: " + host + b"\r\n" + rest + SECOND % host)
    assert statuses(answer) == [b"%d" % status], answer
    assert b"set-cookie" not in answer.lower()
    assert (b"Server: nginx" in answer) is (where == "proxy")
    after = requested_paths(cluster)
    if where == "proxy":
        assert after == before  # nginx passed nothing on
    else:
        assert why in html.unescape(answer.decode()), answer
        assert "/smuggled" not in after
    assert [HttpClient(url).get("/live").status_code for url in cluster.urls] == [200] * 3


def test_bare_lf_ends_no_line_for_a_node_and_frames_nothing_else_for_nginx(cluster: Cluster) -> None:
    direct, proxied = cluster.nodes[0].port, cluster.proxy.port
    bare = b"POST /visits HTTP/1.1\nHost: 127.0.0.1\nConnection: close\nContent-Length: 0\n\n"
    answer = send_raw(direct, bare + SECOND % b"127.0.0.1")
    assert statuses(answer) == [b"400"]
    assert b"bare LF as line terminator" in answer
    # nginx takes it (RFC 9112, 2.2, allows that) and rewrites it.
    assert statuses(send_raw(proxied, bare)) == [b"200"]
    first = b"GET /me HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    inside = b"X-A: b\n\nGET /smuggled HTTP/1.1\nHost: evil\r\n\r\n"
    answer = send_raw(direct, first + inside)
    assert statuses(answer) == [b"400"]
    assert b"Invalid HTTP Header" in answer
    # To nginx these are two requests, the second for a foreign Host: closed without an answer.
    answer = send_raw(proxied, first + inside)
    assert statuses(answer) == [b"200"]
    assert b'"user":null' in answer
    assert "/smuggled" not in requested_paths(cluster)
