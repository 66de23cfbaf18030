"""express-session and our sessions read and send each other's cookies, with the same options."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import flask
import pytest
import redis

from loadtest.targets.install import install_express
from nodes.sessions import (
    MemoryStore,
    OptionsError,
    Priority,
    SameSite,
    Secure,
    SessionOptions,
    TrustProxy,
    current_session,
)
from nodes.sessions.stores.express import ExpressStore
from tests import support
from tests.support.browser import SECRET
from tests.support.http_server import Recorded, Reply, Site, serve
from tests.support.valkey import Valkey

pytestmark = pytest.mark.node

TLS = {"X_Forwarded_Proto": "https"}
OURS: dict[str, Any] = {"secrets": (SECRET,), "name": "connect.sid", "proxy": TrustProxy.TRUST, "rolling": True}
THEIRS: dict[str, Any] = {"secret": SECRET, "rolling": True}
MATRIX: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "the defaults": ({}, {}, {}),
    "the defaults over TLS": ({}, {}, TLS),
    "max age": ({"max_age": 3600}, {"maxAge": 3_600_000}, TLS),
    "secure": ({"secure": Secure.ON}, {"secure": True}, TLS),
    "not secure": ({"secure": Secure.OFF}, {"secure": False}, TLS),
    "strict": ({"same_site": SameSite.STRICT}, {"sameSite": "strict"}, {}),
    "none": ({"same_site": SameSite.NONE}, {"sameSite": "none"}, TLS),
    "auto over TLS": ({"same_site": SameSite.AUTO}, {"sameSite": "auto"}, TLS),
    "auto": ({"same_site": SameSite.AUTO}, {"sameSite": "auto"}, {}),
    "domain": ({"domain": "example.com"}, {"domain": "example.com"}, {}),
    "path": ({"path": "/shop"}, {"path": "/shop"}, {}),
    "seen by scripts": ({"http_only": False}, {"httpOnly": False}, {}),
    "partitioned": ({"partitioned": True}, {"partitioned": True}, TLS),
    "priority": ({"priority": Priority.HIGH}, {"priority": "high"}, {}),
    "several": (
        {"max_age": 3600, "secure": Secure.ON, "same_site": SameSite.STRICT, "domain": "example.com"},
        {"maxAge": 3_600_000, "secure": True, "sameSite": "strict", "domain": "example.com"},
        TLS,
    ),
}


@contextmanager
def express_session(url: str, cookie: dict[str, Any], **options: Any) -> Iterator[Site]:
    """express-session without an application: `express_session.mjs`."""
    environment = {
        "PATH": os.environ["PATH"],
        "MODULES": str(install_express().parent),
        "REDIS_URL": url,
        "OPTIONS": json.dumps(THEIRS | options | {"cookie": {"secure": "auto", "sameSite": "lax"} | cookie}),
    }
    script = str(Path(support.__file__).with_name("express_session.mjs"))
    with subprocess.Popen(["node", script], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Site(int(process.stdout.readline()), Recorded(MemoryStore()))
        finally:
            process.terminate()


def count(session: Any) -> str:
    if flask.request.path.endswith("count"):
        session["n"] = session.get("n", 0) + 1
    return str(session.get("n", 0))


class Sites:
    """Both on one store, with the same options."""

    def __init__(self, express: Site, flask: Site, url: str, path: str, headers: dict[str, str]) -> None:
        self.express, self.flask = express, flask
        self._client: Any = redis.Redis.from_url(url)
        self._path, self._headers = path.rstrip("/"), headers

    def count(self, site: Site, cookie: str = "", path: str = "count") -> Reply:
        reply = site.get(count, f"{self._path}/{path}", Cookie=cookie, **self._headers)
        assert reply.status == 200
        return reply

    def look(self, site: Site, cookie: str) -> Reply:
        return self.count(site, cookie, "look")

    def stored(self, cookie: str) -> str:
        """Return the record of the session of this cookie."""
        session_id = unquote(cookie.partition("=")[2])[2:].rpartition(".")[0]
        return str(self._client.get(f"sess:{session_id}").decode())


@contextmanager
def both(url: str, ours: dict[str, Any], theirs: dict[str, Any], headers: dict[str, str]) -> Iterator[Sites]:
    store = ExpressStore.from_url(url)
    with express_session(url, theirs) as express, serve(store, **OURS | ours) as ours_:
        yield Sites(express, ours_, url, ours.get("path", "/"), headers)


@pytest.fixture(params=list(MATRIX.values()), ids=list(MATRIX))
def sites(request: pytest.FixtureRequest, server: Valkey) -> Iterator[Sites]:
    with both(server.url, *request.param) as made:
        yield made


def cookie_in(stored: str) -> tuple[str, float | None, str | None]:
    """Return the bytes of `cookie` in a record without its times, its age in ms, and its end."""
    text = stored[: stored.index("}") + 1]
    assert text.startswith('{"cookie":{')
    cookie = json.loads(text + "}")["cookie"]
    for name in ("originalMaxAge", "expires"):
        if cookie[name] is not None:
            text = text.replace(f'"{name}":{json.dumps(cookie[name])}', f'"{name}":…')
    return text, cookie["originalMaxAge"], cookie["expires"]


def attributes(reply: Reply) -> list[str]:
    """Return the attributes of the cookie, with one word for Expires and Max-Age: we send both, Express the first."""
    assert reply.set_cookie is not None, "it was not sent again"
    parts = [re.sub(r"^(Expires|Max-Age)=.*", "an end", part) for part in reply.set_cookie.split("; ")[1:]]
    return sorted(set(parts))


def test_both_write_the_same_bytes_for_a_cookie(sites: Sites) -> None:
    theirs, their_age, their_end = cookie_in(sites.stored(sites.count(sites.express).pair))
    ours, our_age, our_end = cookie_in(sites.stored(sites.count(sites.flask).pair))
    assert ours == theirs
    if their_age is not None and our_age is not None:
        assert our_age == pytest.approx(their_age, abs=50)  # theirs is what is left of it some ms later
    if their_end is not None and our_end is not None:
        later = datetime.fromisoformat(our_end) - datetime.fromisoformat(their_end)
        assert abs(later.total_seconds()) < 60


def test_a_cookie_that_is_sent_again_keeps_its_attributes(sites: Sites) -> None:
    made = {site: sites.count(site) for site in (sites.express, sites.flask)}
    wanted = attributes(made[sites.express])
    assert attributes(made[sites.flask]) == wanted
    for maker, first in made.items():
        for sender in (sites.express, sites.flask):
            again = sites.count(sender, first.pair)
            assert again.body in {b"2", b"3"}
            assert again.pair == first.pair
            assert attributes(again) == wanted, (maker, sender)
            assert attributes(sites.look(sender, first.pair)) == wanted, (maker, sender)


def test_a_login_and_a_renewal_write_the_same_cookie(server: Valkey) -> None:
    with both(server.url, *MATRIX["several"]) as sites:
        wanted = sites.count(sites.express)
        cookie = sites.count(sites.flask).pair
        for renewal in (lambda session: current_session.renew("alice"), lambda session: current_session.renew()):
            renewed = sites.flask.get(renewal, Cookie=cookie, **TLS)
            assert renewed.pair != cookie
            cookie = renewed.pair
            assert cookie_in(sites.stored(cookie))[0] == cookie_in(sites.stored(wanted.pair))[0]
            assert attributes(sites.look(sites.express, cookie)) == attributes(wanted)


BROKEN: dict[str, Callable[[str], str]] = {
    "nothing but a percent sign": lambda value: "%",
    "cut off in an escape": lambda value: value[:-1] + "%2",
    "an escape of no digits": lambda value: "%zz" + value,
    "one at the end": lambda value: value + "%",
    "a broken one beside good ones": lambda value: value.replace("s%3A", "s%3A%"),
    "encoded twice": lambda value: value.replace("%", "%25"),
    "bytes that are not UTF-8": lambda value: value.replace("s%3A", "s%3A%ff%fe"),
    "a character that is cut off": lambda value: value + "%E0%A4",
    "longer than it has to be": lambda value: value.replace("s%3A", "s%C0%BA"),
    "half of a surrogate pair": lambda value: value.replace("s%3A", "s%3A%ED%A0%80"),
    "a zero": lambda value: value + "%00",
    "a line break": lambda value: value + "%0d%0aSet-Cookie:%20a=b",
    "bytes beyond ASCII": lambda value: value + "\xff\xe9",
    "thousands of them": lambda value: "%" * 4000,
}
READABLE: dict[str, Callable[[str], str]] = {
    "as it was set": lambda value: value,
    "not encoded": lambda value: value.replace("%3A", ":").replace("%2F", "/").replace("%2B", "+"),
    "in small letters": lambda value: value.replace("%3A", "%3a").replace("%2F", "%2f").replace("%2B", "%2b"),
    "encoded without need": lambda value: value.replace(".", "%2E"),
}


@pytest.mark.parametrize(("bends", "count"), [(BROKEN, b"0"), (READABLE, b"1")], ids=["broken", "readable"])
def test_both_read_the_same_percent_encodings(
    server: Valkey, bends: dict[str, Callable[[str], str]], count: bytes
) -> None:
    with both(server.url, {}, {}, {}) as sites:
        pair = sites.count(sites.express).pair
        for what, bend in bends.items():
            cookie = f"connect.sid={bend(pair.removeprefix('connect.sid='))}"
            assert [sites.look(site, cookie).body for site in (sites.express, sites.flask)] == [count] * 2, what


def test_of_two_session_cookies_express_takes_the_first_and_flask_neither(server: Valkey) -> None:
    with both(server.url, {}, {}, {}) as sites:
        one = sites.count(sites.express).pair
        other = sites.count(sites.express, sites.count(sites.express).pair).pair
        for pair, first in ((f"{one}; {other}", b"1"), (f"{other}; {one}", b"2")):
            assert [sites.look(site, pair).body for site in (sites.express, sites.flask)] == [first, b"0"]


def test_a_secret_too_short_for_flask_is_replaced_in_express_first(server: Valkey) -> None:
    """A rolling session gets a cookie that is signed with the new secret."""
    short = "keyboard cat"
    with pytest.raises(OptionsError, match="32"):
        SessionOptions(secrets=(short,))
    with express_session(server.url, {}, secret=short) as before:
        old = before.get(None, "/count").pair
    with express_session(server.url, {}, secret=[SECRET, short], rolling=True) as during:
        new = during.get(None, "/look", Cookie=old)
        assert new.body == b"1"
    with serve(ExpressStore.from_url(server.url), **OURS) as after:
        assert after.get(count, "/look", Cookie=old).body == b"0"
        assert after.get(count, "/look", Cookie=new.pair).body == b"1"
