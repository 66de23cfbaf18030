"""Two hundred generated requests, byte for byte, to a node and through nginx: no traceback, and both serve on."""

from __future__ import annotations

import random
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.integration.security.cluster import Cluster

SEED = 5
REQUESTS = 200
QUIET_SECONDS = 0.4
"""After so long without a byte, the other side waits for the rest of a request, which does not come."""

METHODS = [
    b"GET",
    b"POST",
    b"DELETE",
    b"PUT",
    b"HEAD",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"get",
    b"G\x00T",
    b"",
    b"X" * 70,
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


def generated(rng: random.Random, host: bytes) -> bytes:
    body = rng.choice(BODIES)
    headers = rng.sample(HEADERS, rng.randrange(5))
    if rng.random() < 0.85:
        headers.insert(0, b"Host: " + host)
    if rng.random() < 0.6:  # the rest of it is to be looked at, so the frame is right
        framing = (b"content-length", b"transfer-encoding", b"expect")
        headers = [each for each in headers if not each.lower().startswith(framing)] + [
            b"Content-Length: %d" % len(body)
        ]
    lines = [b" ".join((rng.choice(METHODS[:6] * 4 + METHODS), rng.choice(PATHS), rng.choice(VERSIONS))), *headers]
    request = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if rng.random() < 0.15:
        at = rng.randrange(len(request))
        request = request[:at] + rng.randbytes(3) + request[at + rng.randrange(4) :]
    return request


def answer_to(port: int, request: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(request)
            connection.settimeout(QUIET_SECONDS)
            while data := connection.recv(65536):
                answer += data
        except (TimeoutError, ConnectionError):
            pass
    return answer


@pytest.mark.parametrize("where", ["node", "proxy"])
def test_generated_requests_raise_nothing_and_the_node_serves_on(cluster: Cluster, where: str) -> None:
    port = cluster.nodes[0].port if where == "node" else cluster.proxy.port
    before = [len(node.lines()) for node in cluster.nodes]
    rng = random.Random(SEED)
    sent = [generated(rng, b"127.0.0.1:%d" % port) for _ in range(REQUESTS)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda request: answer_to(port, request), sent))
    for request, answer in zip(sent, answers, strict=True):
        for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE):
            assert status[:1] != b"5" or status in {b"501", b"505"}, (request[:500], answer[:500])
        assert b"Traceback" not in answer, request[:500]
    statuses = {answer[9:12] for answer in answers}
    assert statuses >= {b"200", b"400"}, statuses
    assert len(statuses) >= 6, statuses
    for url in cluster.urls:
        assert requests.get(f"{url}/me", timeout=20).status_code == 200
    for node, lines in zip(cluster.nodes, before, strict=True):
        assert not [line["exception"][-700:] for line in node.lines()[lines:] if "exception" in line]
        assert len(node.workers()) == 1
