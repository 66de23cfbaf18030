"""express-session's cookie at a real HTTP server: whatever stands in it, nobody is let in and nothing breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nodes.sessions import Proxy
from nodes.sessions.stores.express import ExpressStore
from tests.support.express_cookies import BROKEN, READABLE
from tests.support.http_server import Site, serve
from tests.support.valkey import Valkey


def put(session: Any) -> str:
    session["a"] = 1
    return "put"


def read(session: Any) -> str:
    return str(session.get("a"))


@pytest.fixture
def site(server: Valkey) -> Iterator[Site]:
    with serve(ExpressStore.from_url(server.url), name="connect.sid", proxy=Proxy.TRUST) as made:
        yield made


@pytest.mark.parametrize("bend", BROKEN.values(), ids=BROKEN.keys())
def test_a_bad_percent_encoding_is_nobody_s_and_asks_no_store(site: Site, bend: Callable[[str], str]) -> None:
    value = site.get(put).pair.removeprefix("connect.sid=")
    site.store.calls.clear()
    reply = site.get(read, Cookie=f"connect.sid={bend(value)}")
    assert (reply.status, reply.body, reply.set_cookies) == (200, b"None", [])
    assert site.store.calls == []
    assert site.get(put, Cookie=f"connect.sid={bend(value)}").pair != f"connect.sid={value}"
    assert site.get(read, Cookie=f"connect.sid={value}").body == b"1"


@pytest.mark.parametrize("bend", READABLE.values(), ids=READABLE.keys())
def test_every_encoding_that_express_reads_is_read(site: Site, bend: Callable[[str], str]) -> None:
    value = site.get(put).pair.removeprefix("connect.sid=")
    assert site.get(read, Cookie=f"connect.sid={bend(value)}").body == b"1"


@pytest.mark.parametrize("proto", ["http", "https"])
def test_its_name_is_the_same_over_tls(site: Site, proto: str) -> None:
    made = site.get(put, X_Forwarded_Proto=proto)
    assert made.pair.startswith("connect.sid=s%3A")
    for other in ("http", "https"):
        assert site.get(read, X_Forwarded_Proto=other, Cookie=made.pair).body == b"1"
        assert site.get(read, X_Forwarded_Proto=other, Cookie=f"__Host-{made.pair}").body == b"None"
    ended = site.get(lambda session: session.end(), X_Forwarded_Proto=proto, Cookie=made.pair)
    assert (ended.pair, ended.attribute("Max-Age")) == ("connect.sid=", "0")
