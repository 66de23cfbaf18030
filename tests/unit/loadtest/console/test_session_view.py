"""The view "Session": real requests of the visitor's own browser, its record, and what never leaves the console."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from deploy import ClusterError, ClusterSpec, StoreKind
from loadtest.console.board import Board
from loadtest.console.commands import ClusterStage, ClusterState
from loadtest.console.director import Director
from loadtest.console.exchanges import MOST_VISITORS, Visitors, mask
from loadtest.console.server import Console, create_app
from nodes.accounts.file import create_users
from nodes.app import create_app as create_node
from nodes.settings import Settings
from proxy import Balance
from tests.support.fake_cluster import FakeCluster
from tests.support.servers import running

BASE = {"base_url": "http://127.0.0.1:8090"}
PASSWORD = "a password of twenty"


class Shop(FakeCluster):
    """A cluster whose proxy is one real node in this process."""

    def __init__(self, spec: ClusterSpec, environment: Mapping[str, str]) -> None:
        super().__init__(spec)
        self.users = {"alice": PASSWORD}
        self.environment: Mapping[str, str] | None = environment
        self.address = ""

    @property
    def url(self) -> str:
        return self.address

    @property
    def node_environment(self) -> Mapping[str, str]:
        if self.environment is None:
            raise ClusterError("in containers")
        return self.environment


@dataclass
class View:
    """The view of one visitor. `seen` is every byte that the page got."""

    shop: Shop
    console: Console
    client: FlaskClient
    seen: str = ""

    def show(self, client: FlaskClient | None = None) -> dict[str, Any]:
        return self._read((client or self.client).get("/console/session/", **BASE))

    def step(self, do: str, on: str = "", status: int = 200) -> dict[str, Any]:
        return self._read(self.client.post("/console/session/steps", json={"do": do, "on": on}, **BASE), status)

    def answer(self, do: str) -> Any:
        """Carry out a step, and return the JSON of the shop's answer."""
        return json.loads(self.step(do)["exchanges"][-1]["response_body"])

    def _read(self, answer: Any, status: int = 200) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        self.seen += answer.text + str(answer.headers)
        value: dict[str, Any] = answer.json
        return value


def make_client(console: Console) -> FlaskClient:
    return visit(create_app(console), console)


def visit(app: flask.Flask, console: Console) -> FlaskClient:
    """Return another browser on the same page."""
    client = app.test_client()
    client.get(f"/console/?token={console.token}", **BASE)
    return client


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    create_users(tmp_path / "users.json", ["alice"], PASSWORD)
    environment = {
        "SESSION_STORE": "file",
        "SESSION_FOLDER": str(tmp_path / "sessions"),
        "SESSION_SECRETS": "s" * 64,
        "USERS_FILE": str(tmp_path / "users.json"),
        "NODE_NAME": "node-1",
    }
    shop = Shop(ClusterSpec(nodes=2, store=StoreKind.FILE), environment)
    shop.start()
    director = Director(shop.spec, None, FakeCluster, Board(), tmp_path, keep=False)
    director.cluster = shop
    director.state = ClusterState(
        stage=ClusterStage.RUNNING, spec=shop.spec, policy=Balance.ROUND_ROBIN, network=None, members=shop.members()
    )
    console = Console(Board(), director, 8090)
    node = make_server("127.0.0.1", 0, create_node(Settings.from_environ(environment)), threaded=True)
    with running(node) as shop.address:
        yield View(shop, console, make_client(console))
    node.server_close()


def test_a_session_is_followed_from_login_to_logout(view: View) -> None:
    assert view.show()["record"]["found"] == "no_cookie"
    assert view.answer("look")["user"] is None
    assert view.show()["record"]["found"] == "no_cookie", "looking makes no session"

    record = view.step("login")["record"]
    assert (record["found"], record["owner"]) == ("present", "alice")
    assert record["idle"] - 30 < record["ttl"] <= record["idle"] < record["absolute"]
    assert re.fullmatch("[0-9a-f]{64}", record["key_hash"])

    fields = {one["name"]: one["value"] for one in view.step("cart")["record"]["fields"]}
    assert fields["cart"] == "{'apple': 1}"
    assert view.answer("look")["user"] == "alice"
    assert view.answer("forge")["user"] is None
    assert view.answer("look")["user"] == "alice", "a forged cookie changes nothing"

    after = view.step("logout")
    assert (after["cookie"].count("session="), after["is_old"], after["record"]["found"]) == (0, True, "ended")
    assert view.answer("replay")["user"] is None
    assert view.show()["record"]["found"] == "ended"


def test_requests_and_answers_are_shown_as_they_were(view: View) -> None:
    login = view.step("login")["exchanges"][-1]
    sent, got = dict(login["request_headers"]), dict(login["response_headers"])
    assert (login["method"], login["path"], login["status"]) == ("POST", "/login", 200)
    assert sent["Host"] == view.shop.url.removeprefix("http://")
    assert int(sent["Content-Length"]) > len('{"user":"alice","password":""}')
    assert got["X-Served-By"] == "node-1"
    cookies = [value for name, value in login["response_headers"] if name == "Set-Cookie"]
    (cookie,) = [one for one in cookies if one.startswith("session=")]
    assert re.fullmatch(r"session=••••••••\.[\w-]{43}; HttpOnly; Path=/; SameSite=Lax", cookie)
    assert json.loads(login["request_body"]) == {"user": "alice", "password": "••••••••"}


def test_the_id_and_the_password_never_reach_the_page_unless_the_visitor_asks(view: View) -> None:
    for step in ("look", "login", "cart", "forge", "logout", "login"):
        view.step(step)
    shown = view.client.get("/console/session/cookie", **BASE).json
    assert shown is not None
    (session,) = re.findall(r"session=([\w-]{43})\.", shown["cookie"])
    assert "device=••••••••" in shown["cookie"]
    assert session not in view.seen
    assert PASSWORD not in view.seen
    assert "s" * 64 not in view.seen


def test_each_visitor_has_a_session_of_their_own(view: View) -> None:
    view.step("login")
    other = visit(view.client.application, view.console)
    assert view.show(other)["record"]["found"] == "no_cookie"
    assert view.show(other)["exchanges"] == []
    assert view.show()["record"]["owner"] == "alice"
    (cookie,) = (
        visit(view.client.application, view.console).get("/console/session/", **BASE).headers.getlist("Set-Cookie")
    )
    for attribute in ("visitor-8090=", "HttpOnly", "SameSite=Strict", "Path=/console"):
        assert attribute in cookie


def test_a_secret_that_the_console_did_not_make_is_not_adopted() -> None:
    visitors = Visitors()
    secret, first = visitors.find("chosen")
    assert secret != "chosen"
    assert visitors.find(secret) == (secret, first)
    for _ in range(MOST_VISITORS):
        visitors.find("")
    assert visitors.find(secret)[0] != secret, "the oldest makes room"


def test_a_cookie_of_another_cluster_is_not_signed_by_this_one(view: View) -> None:
    view.step("login")
    assert view.shop.environment is not None
    again = Shop(view.shop.spec, {**view.shop.environment, "SESSION_SECRETS": "t" * 64})
    again.address = view.shop.address
    again.start()
    view.console.director.cluster = again
    assert view.show()["record"]["found"] == "forged"


def test_sessions_that_cannot_be_looked_into_are_said_to_be_so(view: View) -> None:
    view.step("login")
    for environment, store, found in (
        (None, StoreKind.FILE, "foreign"),
        ({**(view.shop.environment or {}), "SESSION_STORE": "memory"}, StoreKind.MEMORY, "in_memory"),
        ({**(view.shop.environment or {}), "SESSION_FOLDER": "/dev/null/x"}, StoreKind.FILE, "unknown"),
    ):
        other = Shop(ClusterSpec(nodes=2, store=store), environment or {})
        other.environment, other.address = environment, view.shop.address
        other.start()
        view.console.director.cluster = other
        assert view.show()["record"]["found"] == found


def test_a_node_that_does_not_answer_is_an_exchange_with_an_error(view: View) -> None:
    view.step("login")
    node = view.step("ask", "node-1")["exchanges"][-1]
    assert node["via"] == "node-1"
    assert "refused" in node["error"]
    assert node["status"] == 0


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"do": "ask", "on": "node-9"}, 409),
        ({"do": "ask", "on": "proxy"}, 409),
        ({"do": "replay"}, 409),
        ({"do": "steal"}, 400),
        ({"do": "look", "cookie": "x"}, 400),
    ],
)
def test_a_step_that_is_not_possible_is_refused(view: View, order: dict[str, str], status: int) -> None:
    assert view.client.post("/console/session/steps", json=order, **BASE).status_code == status
    assert view.show()["exchanges"] == []


def test_the_view_is_for_those_with_the_token_and_for_a_cluster_that_runs(view: View) -> None:
    stranger = create_app(view.console).test_client()
    for path in ("/console/session/", "/console/session/cookie"):
        assert stranger.get(path, **BASE).status_code == 403
    assert stranger.post("/console/session/steps", json={"do": "login"}, **BASE).status_code == 403
    form = view.client.post("/console/session/steps", data={"do": "login"}, **BASE)
    assert form.status_code == 415
    view.console.director.cluster = None
    assert view.client.get("/console/session/", **BASE).status_code == 409


@pytest.mark.parametrize(
    ("cookies", "shown"),
    [
        ("session=abc.def; node=node-2; device=xyz", "session=••••••••.def; node=node-2; device=••••••••"),
        ("__Host-session=abc.def", "__Host-session=••••••••.def"),
        ("session=s%3Aabc.def", "session=••••••••.def"),
        ("session=abc", "session=••••••••"),
        ("session=", "session="),
        ("", ""),
    ],
)
def test_secrets_are_hidden_in_cookies(cookies: str, shown: str) -> None:
    assert mask(cookies, "session") == shown
