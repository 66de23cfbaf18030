"""A real Express application and a Flask node behind nginx over TLS: one cookie by one name from both, for TLS only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy import Server
from tests.integration.express import EXPRESS, FLASK, Both, RunningExpress
from tests.nodes.conftest import run_node, users_file
from tests.nodes.running import PASSWORD, RunningNode
from tests.proxy.running import RunningTls, issue_certificate

pytestmark = pytest.mark.node
__all__ = ["run_node", "users_file"]

SIDES = pytest.mark.parametrize(("one", "other"), [(EXPRESS, FLASK), (FLASK, EXPRESS)])


class OverTls(Both):
    """`url` is the address at which both take turns; `urls` those of proxies in front of one alone."""

    url: str


@pytest.fixture
def both(run_node: Callable[..., RunningNode], tmp_path: Path) -> Iterator[OverTls]:
    settings = {"EXPRESS_STORE": "file", "SESSION_FOLDER": str(tmp_path / "sessions")}
    flask = run_node(NODE_NAME=FLASK, SESSION_STORE="express", **settings)
    certificate = issue_certificate(tmp_path)
    with ExitStack() as stack:
        express = stack.enter_context(RunningExpress(tmp_path, **settings))
        servers = (Server(f"127.0.0.1:{express.port}", EXPRESS), Server(f"127.0.0.1:{flask.port}", FLASK))
        proxies = []
        for name, behind in [("both", servers), (EXPRESS, servers[:1]), (FLASK, servers[1:])]:
            folder = tmp_path / f"proxy-{name}"
            folder.mkdir()
            proxies.append(stack.enter_context(RunningTls(folder, behind, certificate)))
        urls = {EXPRESS: proxies[1].url, FLASK: proxies[2].url}
        made = OverTls(express, flask, urls, certificate.authority)
        made.url = proxies[0].url
        yield made


@SIDES
def test_who_logs_in_on_one_goes_on_on_the_other(both: OverTls, one: str, other: str) -> None:
    both.post(one, "/visits")
    both.log_in(one)
    assert both.get(other) == {"user": "alice", "node": other, "visits": 1, "cart": {}}
    both.post(other, "/cart", item="apple", quantity=2)
    assert both.get(one)["cart"] == {"apple": 2}
    first = both.cookie
    both.log_in(other)
    assert both.cookie != first
    assert both.get(one)["visits"] == 1


@SIDES
def test_a_logout_on_one_is_final_on_the_other(both: OverTls, one: str, other: str) -> None:
    both.log_in(one)
    replayed = both.cookie
    both.post(other, "/logout")
    assert "connect.sid" not in both.browser.cookies
    assert [both.replayed(where, replayed) for where in (one, other)] == [None, None]


def test_in_turns_behind_the_proxy_nobody_notices(both: OverTls) -> None:
    served = []
    both.browser.post(f"{both.url}/login", json={"user": "alice", "password": PASSWORD}, timeout=10)
    for number in range(1, 9):
        answer = both.browser.post(f"{both.url}/visits", json={}, timeout=10)
        served.append(answer.headers["X-Served-By"])
        assert answer.json() == {"visits": number}
        me = both.browser.get(f"{both.url}/me", timeout=10)
        served.append(me.headers["X-Served-By"])
        assert me.json()["user"] == "alice"
    assert set(served) == {EXPRESS, FLASK}


def test_both_send_one_cookie_by_one_name_for_tls_only(both: OverTls) -> None:
    sent = []
    for where in (EXPRESS, FLASK):
        header = both.log_in(where).headers["Set-Cookie"]
        (cookie,) = [part for part in header.split(", ") if "connect.sid" in part]
        name, _, rest = cookie.partition("=")
        sent.append((name, sorted(rest.split("; ")[1:])))
    assert sent == [("connect.sid", ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"])] * 2
