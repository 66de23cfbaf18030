"""A request hidden in another one, byte for byte, to a node and through a real nginx: refused, once, and closed."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

import pytest
import requests

from tests.integration.security.cluster import Cluster, raw


class Smuggled(NamedTuple):
    """A second request in the first one's body, or what some may take for it; how nginx answers, and how a node."""

    rest: bytes
    nginx: int
    node: int
    why: str


SMUGGLED = {
    "length and chunks": Smuggled(
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        400,
        "Invalid HTTP Header: 'CONTENT-LENGTH'",
    ),
    "two lengths": Smuggled(
        b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400, 400, "Invalid HTTP Header: 'CONTENT-LENGTH'"
    ),
    "signed length": Smuggled(b"Content-Length: +5\r\n\r\n", 400, 400, "Invalid HTTP Header: 'CONTENT-LENGTH'"),
    "folded": Smuggled(b"X-A: b\r\n c\r\n\r\n", 400, 400, "Obsolete line folding is unacceptable: 'X-A'"),
    "NUL": Smuggled(b"X-A: b\x00c\r\n\r\n", 400, 400, "Invalid HTTP Header: 'X-A'"),
    "unknown coding": Smuggled(
        b"Transfer-Encoding: xchunked\r\n\r\n", 501, 501, "Unsupported transfer coding: 'xchunked'"
    ),
    "chunked twice": Smuggled(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        *(400, 400, "Invalid HTTP Header: 'TRANSFER-ENCODING'"),
    ),
    "chunked and identity": Smuggled(
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501, 400, "Invalid HTTP Header: 'TRANSFER-ENCODING'"
    ),
    "space before the colon": Smuggled(
        b"Content-Length : 5\r\n\r\n", 400, 400, "Invalid HTTP header name: 'Content-Length '"
    ),
    "two hosts": Smuggled(b"Host: evil\r\n\r\n", 400, 400, "Invalid HTTP Header: 'HOST'"),
    "no chunk": Smuggled(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, 400, "Invalid chunk size: b'zz'"),
    "bare LF in the chunks": Smuggled(
        b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", 400, 400, "Invalid chunk size: b'1\\\\nx"
    ),
}
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"


def seen(cluster: Cluster) -> list[str]:
    """The path of each request that a node has answered."""
    return [line["path"] for node in cluster.nodes for line in node.lines() if "path" in line]


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)


@pytest.mark.parametrize("where", ["node", "proxy"])
@pytest.mark.parametrize("smuggled", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_smuggling_is_refused_once_and_closed_and_the_node_serves_on(
    cluster: Cluster, smuggled: Smuggled, where: str
) -> None:
    port, status = {
        "node": (cluster.nodes[0].port, smuggled.node),
        "proxy": (cluster.proxy.port, smuggled.nginx),
    }[where]
    host = b"127.0.0.1:%d" % port
    before = seen(cluster)
    answer = raw(port, b"POST /visits HTTP/1.1\r\nHost: " + host + b"\r\n" + smuggled.rest + SECOND % host)
    assert statuses(answer) == [b"%d" % status], answer
    assert b"set-cookie" not in answer.lower()
    assert (b"Server: nginx" in answer) is (where == "proxy")
    after = seen(cluster)
    if where == "proxy":
        assert after == before  # no node heard of it
    else:
        assert smuggled.why in html.unescape(answer.decode()), answer
        assert "/smuggled" not in after
    assert [requests.get(f"{url}/live", timeout=20).status_code for url in cluster.urls] == [200] * 3


def test_bare_lf_ends_no_line_for_a_node_and_frames_nothing_else_for_nginx(cluster: Cluster) -> None:
    direct, proxied = cluster.nodes[0].port, cluster.proxy.port
    bare = b"POST /visits HTTP/1.1\nHost: 127.0.0.1\nConnection: close\nContent-Length: 0\n\n"
    answer = raw(direct, bare + SECOND % b"127.0.0.1")
    assert statuses(answer) == [b"400"]
    assert b"bare LF as line terminator" in answer
    # nginx takes it (RFC 9112, 2.2, allows that) and writes it anew.
    assert statuses(raw(proxied, bare)) == [b"200"]
    first = b"GET /me HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    inside = b"X-A: b\n\nGET /smuggled HTTP/1.1\nHost: evil\r\n\r\n"
    answer = raw(direct, first + inside)
    assert statuses(answer) == [b"400"]
    assert b"Invalid HTTP Header" in answer
    # To nginx these are two requests, the second for a foreign Host: closed without an answer.
    answer = raw(proxied, first + inside)
    assert statuses(answer) == [b"200"]
    assert b'"user":null' in answer
    assert "/smuggled" not in seen(cluster)
