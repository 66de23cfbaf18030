"""A real Express application and a Flask node behind nginx over TLS: one cookie by one name from both, for TLS only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from proxy import Server
from tests.support.express import EXPRESS, FLASK, Both, RunningExpress
from tests.support.node import PASSWORD, RunningNode
from tests.support.node_app import users_file
from tests.support.proxy import RunningTls, issue_certificate
from tests.support.valkey import Valkey

pytestmark = pytest.mark.node
__all__ = ["users_file"]

SIDES = pytest.mark.parametrize(("one", "other"), [(EXPRESS, FLASK), (FLASK, EXPRESS)])


CHOSEN = {"SESSION_MAX_AGE": "600", "SESSION_ROLLING": "on", "SESSION_SECURE": "on", "SESSION_SAME_SITE": "strict"}


class OverTls(Both):
    """One browser; `url` is a proxy in front of both applications, `urls` are proxies in front of one."""

    url: str


Applications = Callable[[], OverTls]


@pytest.fixture(scope="module", params=[{}], ids=["defaults"])
def applications(
    users_file: Path, server: Valkey, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Applications]:
    """Both applications with these settings; each call returns another browser."""
    folder = tmp_path_factory.mktemp("both")
    settings = {"REDIS_URL": server.url} | request.param
    certificate = issue_certificate(folder)
    with ExitStack() as stack:
        node = RunningNode(users_file, folder / "log", NODE_NAME=FLASK, SESSION_STORE="express", **settings)
        flask = stack.enter_context(node)
        express = stack.enter_context(RunningExpress(folder, **settings))
        servers = (Server(f"127.0.0.1:{express.port}", EXPRESS), Server(f"127.0.0.1:{flask.port}", FLASK))
        proxies = []
        for name, behind in [("both", servers), (EXPRESS, servers[:1]), (FLASK, servers[1:])]:
            (folder / name).mkdir()
            proxies.append(stack.enter_context(RunningTls(folder / name, behind, certificate, login_rate=None)))

        def browser() -> OverTls:
            made = OverTls(express, flask, {EXPRESS: proxies[1].url, FLASK: proxies[2].url}, certificate.authority)
            made.url = proxies[0].url
            return made

        yield browser


@pytest.fixture
def both(applications: Applications) -> OverTls:
    return applications()


@SIDES
def test_a_login_at_one_application_holds_at_the_other(both: OverTls, one: str, other: str) -> None:
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


def sent(answer: requests.Response) -> tuple[str, set[str]]:
    """The name of the session's cookie and its attributes, without the date and the seconds at which it ends."""
    (cookie,) = [part for part in re.split(r", (?=[^;, ]+=)", answer.headers["Set-Cookie"]) if "connect.sid=" in part]
    first, *attributes = cookie.split("; ")
    return first.partition("=")[0], {re.sub(r"^(Expires|Max-Age)=.*", "Expires", part) for part in attributes}


def test_both_send_one_cookie_by_one_name_for_tls_only(both: OverTls) -> None:
    for where in (EXPRESS, FLASK):
        assert sent(both.log_in(where)) == ("connect.sid", {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"})


@SIDES
@pytest.mark.parametrize("applications", [CHOSEN], indirect=True)
def test_it_stays_what_it_is_when_the_other_one_sends_it_again(both: OverTls, one: str, other: str) -> None:
    wanted = ("connect.sid", {"HttpOnly", "Path=/", "SameSite=Strict", "Secure", "Expires"})
    assert sent(both.log_in(one)) == wanted
    for where in (other, one, other):
        assert sent(both.browser.get(f"{both.urls[where]}/me", timeout=10)) == wanted
