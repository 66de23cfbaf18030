"""A real Express application and a Flask node behind one nginx, on one Redis."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from deploy.certificate import make_certificate
from proxy import UpstreamServer
from tests.support.express import RunningExpress
from tests.support.http_client import HttpClient
from tests.support.node import PASSWORD, SECRET, RunningNode
from tests.support.proxy import RunningTls
from tests.support.valkey import Valkey

pytestmark = pytest.mark.node

EXPRESS, FLASK, PROXY = "express-1", "node-1", "proxy"
NEW = "another secret of more than 32 bytes"


@dataclass(frozen=True)
class Applications:
    """Both applications behind TLS: the URL of a proxy before each, and of one before both."""

    flask: RunningNode
    urls: dict[str, str]
    authority: Path


class Both:
    """One browser at both applications, on an empty Redis."""

    def __init__(self, applications: Applications, server: Valkey) -> None:
        self.urls = applications.urls
        self.browser = HttpClient(self.urls[PROXY], authority=applications.authority)
        self.redis: Any = server.client()
        self.redis.flushdb()

    def get(self, where: str, path: str = "/me") -> dict[str, Any]:
        answer = self.browser.get(self.urls[where] + path, timeout=10)
        assert answer.headers["X-Served-By"] == where
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, where: str, path: str, **body: Any) -> requests.Response:
        answer = self.browser.post(self.urls[where] + path, json=body, timeout=10)
        assert answer.status_code in {200, 204}, answer.text
        return answer

    def log_in(self, where: str) -> requests.Response:
        return self.post(where, "/login", user="alice", password=PASSWORD)

    def replayed(self, where: str, cookie: str) -> str | None:
        """Return the user that a browser with this cookie is taken for."""
        headers = {"Cookie": f"connect.sid={cookie}"}
        answer = requests.get(f"{self.urls[where]}/me", headers=headers, verify=self.browser.verify, timeout=10)
        user: str | None = answer.json()["user"]
        return user

    @property
    def cookie(self) -> str:
        return str(self.browser.cookies["connect.sid"])

    @property
    def key(self) -> str:
        return f"sess:{unquote(self.cookie)[2:].rpartition('.')[0]}"

    @property
    def stored(self) -> dict[str, Any]:
        return dict(json.loads(self.redis.get(self.key)))


@pytest.fixture(scope="module", params=[{}], ids=["defaults"])
def applications(
    users_file: Path, server: Valkey, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Applications]:
    """Both applications with these settings."""
    folder = tmp_path_factory.mktemp("both")
    settings = {"REDIS_URL": server.url} | request.param
    certificate = make_certificate(folder)
    with ExitStack() as stack:
        node = RunningNode(users_file, folder / "node.log", NODE_NAME=FLASK, SESSION_STORE="express", **settings)
        flask = stack.enter_context(node)
        express = stack.enter_context(RunningExpress(folder, **settings))
        servers = (
            UpstreamServer(f"127.0.0.1:{express.port}", EXPRESS),
            UpstreamServer(f"127.0.0.1:{flask.port}", FLASK),
        )
        urls = {}
        for name, behind in [(PROXY, servers), (EXPRESS, servers[:1]), (FLASK, servers[1:])]:
            (folder / name).mkdir()
            urls[name] = stack.enter_context(RunningTls(folder / name, behind, certificate, login_rate=None)).url
        yield Applications(flask, urls, certificate.authority)


@pytest.fixture
def both(applications: Applications, server: Valkey) -> Both:
    return Both(applications, server)


SIDES = pytest.mark.parametrize(("one", "other"), [(EXPRESS, FLASK), (FLASK, EXPRESS)])


@SIDES
def test_a_login_at_one_application_holds_at_the_other(both: Both, one: str, other: str) -> None:
    both.post(one, "/visits")
    anonymous = both.cookie
    both.log_in(one)
    assert both.cookie != anonymous
    assert both.get(other) == {"user": "alice", "node": other, "visits": 1, "cart": {}}
    both.post(other, "/visits")
    both.post(other, "/cart", item="apple", quantity=2)
    both.post(one, "/cart", item="pear", quantity=1)
    assert both.get(one) == {"user": "alice", "node": one, "visits": 2, "cart": {"apple": 2, "pear": 1}}
    assert both.get(other)["cart"] == {"apple": 2, "pear": 1}


@SIDES
def test_a_logout_at_one_application_is_final_at_the_other(both: Both, one: str, other: str) -> None:
    both.log_in(one)
    replayed = both.cookie
    both.post(other, "/logout")
    assert "connect.sid" not in both.browser.cookies
    assert both.redis.keys("sess:*") == []
    assert [both.replayed(where, replayed) for where in (one, other)] == [None, None]


@SIDES
def test_a_second_login_at_the_other_application_renews_the_id(both: Both, one: str, other: str) -> None:
    both.log_in(one)
    first = both.cookie
    both.post(one, "/visits")
    both.log_in(other)
    assert both.cookie != first
    assert both.get(one)["visits"] == 1
    assert len(both.redis.keys("sess:*")) == 1


def test_both_applications_take_turns_behind_one_proxy(both: Both) -> None:
    served = []
    both.log_in(PROXY)
    for number in range(1, 9):
        answer = both.post(PROXY, "/visits")
        me = both.browser.get(f"{both.urls[PROXY]}/me", timeout=10)
        served += [answer.headers["X-Served-By"], me.headers["X-Served-By"]]
        assert (answer.json(), me.json()["user"]) == ({"visits": number}, "alice")
    assert set(served) == {EXPRESS, FLASK}


def test_a_max_age_that_express_gave_a_session_counts_in_flask_too(both: Both) -> None:
    both.log_in(EXPRESS)
    session = both.stored
    session["cookie"]["originalMaxAge"] = 600_000
    both.redis.set(both.key, json.dumps(session), ex=600)
    answer = both.post(FLASK, "/visits")
    assert "Max-Age=600" in answer.headers["Set-Cookie"]
    assert 590 < both.redis.ttl(both.key) <= 600
    assert both.stored["cookie"]["expires"].endswith("Z")
    answer = both.post(EXPRESS, "/visits")
    assert "Expires=" in answer.headers["Set-Cookie"]
    assert both.get(FLASK)["visits"] == 2


def test_a_login_at_express_is_not_fresh_before_flask_has_seen_it(both: Both) -> None:
    both.log_in(EXPRESS)
    account = both.browser.get(f"{both.urls[FLASK]}/account", timeout=10).json()
    both.log_in(FLASK)
    fresh = both.browser.get(f"{both.urls[FLASK]}/account", timeout=10).json()
    assert account["user"] == fresh["user"] == "alice"
    assert account["since"] < fresh["since"]


def test_secrets_rotate_at_one_application_after_the_other(
    applications: Applications, users_file: Path, server: Valkey, tmp_path: Path
) -> None:
    old, redis = applications.flask, {"REDIS_URL": server.url}
    browser = old.log_in()
    rotated = {"NODE_NAME": "node-2", "SESSION_STORE": "express", "SESSION_SECRETS": NEW}
    with (
        RunningExpress(tmp_path, **redis, SESSION_SECRETS=f"{NEW},{SECRET}") as express,
        RunningNode(users_file, tmp_path / "node.log", **redis, **rotated) as new,
    ):
        assert browser.get(f"{express.url}/me", timeout=10).json()["user"] == "alice"
        browser.post(f"{express.url}/login", json={"user": "alice", "password": PASSWORD}, timeout=10)
        assert browser.get(f"{old.url}/me", timeout=10).json()["user"] is None
        assert browser.get(f"{new.url}/me", timeout=10).json()["user"] == "alice"


CHOSEN = {"SESSION_MAX_AGE": "600", "SESSION_ROLLING": "on", "SESSION_SECURE": "on", "SESSION_SAME_SITE": "strict"}


def sent(answer: requests.Response) -> tuple[str, set[str]]:
    """Return the name of the session's cookie and its attributes, without the values of Expires and Max-Age."""
    (cookie,) = [part for part in re.split(r", (?=[^;, ]+=)", answer.headers["Set-Cookie"]) if "connect.sid=" in part]
    first, *attributes = cookie.split("; ")
    return first.partition("=")[0], {re.sub(r"^(Expires|Max-Age)=.*", "Expires", part) for part in attributes}


def test_over_tls_both_applications_send_the_same_secure_cookie(both: Both) -> None:
    for where in (EXPRESS, FLASK):
        assert sent(both.log_in(where)) == ("connect.sid", {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"})


@SIDES
@pytest.mark.parametrize("applications", [CHOSEN], indirect=True)
def test_the_cookie_keeps_its_attributes_when_the_other_application_sends_it(both: Both, one: str, other: str) -> None:
    wanted = ("connect.sid", {"HttpOnly", "Path=/", "SameSite=Strict", "Secure", "Expires"})
    assert sent(both.log_in(one)) == wanted
    for where in (other, one, other):
        assert sent(both.browser.get(f"{both.urls[where]}/me", timeout=10)) == wanted
