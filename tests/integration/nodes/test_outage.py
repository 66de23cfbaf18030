"""A real node while its store is away: nobody is logged out, and what needs no session goes on."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.node import PASSWORD, RunningNode
from tests.support.node_app import HTML
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

NEEDS_SESSION = [
    ("GET", "/me", None),
    ("GET", "/", None),
    ("GET", "/account", None),
    ("POST", "/visits", None),
    ("POST", "/cart", {"item": "apple", "quantity": 1}),
    ("DELETE", "/cart", None),
    ("POST", "/login", {"user": "alice", "password": PASSWORD}),
    ("POST", "/logout", None),
]
UNTOUCHED = {"/live": 200, "/ready": 503, "/metrics": 200, "/nothing": 404, "/static/style.css": 200}


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    server = Valkey("--appendonly", "yes")
    yield server
    server.close()


@pytest.fixture(scope="module")
def node(users_file: Path, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with valkey.client() as client:
        client.acl_setuser("nodes", enabled=True, passwords=["+word-of-pass"], keys=["*"], commands=["+@all"])
    url = f"redis://nodes:word-of-pass@127.0.0.1:{valkey.port}/0"
    log = tmp_path_factory.mktemp("node") / "node.log"
    with RunningNode(users_file, log, SESSION_STORE="redis", REDIS_URL=url, LOG_LEVEL="debug") as running:
        yield running


def gather(node: RunningNode, user: str) -> requests.Session:
    browser = node.log_in(user)
    assert browser.post(f"{node.url}/visits", timeout=10).json() == {"visits": 1}
    return browser


def assert_outage(node: RunningNode, browser: requests.Session) -> None:
    """What every address does without its store."""
    before = browser.cookies.get_dict()
    for method, path, body in NEEDS_SESSION:
        for headers in ({}, HTML):
            answer = browser.request(
                method, f"{node.url}{path}", json=body, headers=headers, timeout=10, allow_redirects=False
            )
            assert answer.status_code == 503, (method, path, answer.text)
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["X-Served-By"] == "node-2"
            assert "Traceback" not in answer.text
    page = browser.get(f"{node.url}/", headers=HTML, timeout=10)
    assert "This logs nobody out" in page.text
    assert browser.cookies.get_dict() == before
    for path, status in UNTOUCHED.items():
        assert browser.get(f"{node.url}{path}", timeout=10).status_code == status
    assert requests.get(f"{node.url}/me", timeout=10).status_code == 200  # who brings no cookie needs no store


def assert_back(node: RunningNode, browsers: dict[str, requests.Session]) -> None:
    wait_until(lambda: requests.get(f"{node.url}/ready", timeout=10).status_code == 200)
    for user, browser in browsers.items():
        me = browser.get(f"{node.url}/me", timeout=10).json()
        assert (me["user"], me["visits"], me["cart"]) == (user, 1, {})


def test_a_store_that_was_killed_logs_nobody_out(node: RunningNode, valkey: Valkey) -> None:
    browsers = {user: gather(node, user) for user in ("alice", "bob")}
    valkey.kill()
    assert_outage(node, browsers["alice"])
    metrics = requests.get(f"{node.url}/metrics", timeout=10).text
    assert re.search(r'node_store_failures_total{operation="load"} [1-9]', metrics)
    assert any(line["level"] == "warning" and line.get("request_id") for line in node.lines())
    valkey.start()
    with valkey.client() as client:
        client.acl_setuser("nodes", enabled=True, passwords=["+word-of-pass"], keys=["*"], commands=["+@all"])
    assert_back(node, browsers)


def test_a_store_that_is_silent_holds_nobody_for_longer_than_its_budget(node: RunningNode, valkey: Valkey) -> None:
    browser = gather(node, "alice")
    with valkey.paused():
        start = time.monotonic()
        answer = browser.get(f"{node.url}/me", timeout=10)
        assert time.monotonic() - start < 2.0
        assert answer.status_code == 503
        assert "Set-Cookie" not in answer.headers
        # The other requests of the same worker are not held up by those that wait.
        start = time.monotonic()
        assert requests.get(f"{node.url}/live", timeout=10).status_code == 200
        assert time.monotonic() - start < 1.0
    assert_back(node, {"alice": browser})


def test_the_log_holds_no_ids_and_no_passwords(node: RunningNode) -> None:
    browser = node.log_in()
    ids = {browser.cookies["session"]}
    wrong = "a wrong password"
    for body in ({"user": "alice", "password": wrong}, {"user": "bob", "password": PASSWORD}, {"user": wrong}):
        browser.post(f"{node.url}/login", json=body, timeout=10)
        browser.post(f"{node.url}/login", data=body, headers=HTML, timeout=10)
        ids.add(browser.cookies["session"])
    browser.get(f"{node.url}/me?session={browser.cookies['session']}&password={PASSWORD}", timeout=10)
    text = node.log.read_text()
    assert text.count("\n") > 8
    for cookie in ids:
        session_id, _, signature = cookie.partition(".")
        assert session_id not in text
        assert signature not in text
    assert PASSWORD not in text
    assert "word-of-pass" not in text
    assert wrong not in text
