"""Every address of a node during an outage of its store: no user is logged out, what needs no session goes on."""

import re
import time

import pytest

from tests.integration.outages.conftest import Start
from tests.support.http_client import HttpClient
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


def add_user(valkey: Valkey) -> None:
    with valkey.client() as client:
        client.acl_setuser("nodes", enabled=True, passwords=["+word-of-pass"], keys=["*"], commands=["+@all"])


@pytest.fixture(scope="module")
def node(start: Start, valkey: Valkey) -> RunningNode:
    add_user(valkey)
    url = f"redis://nodes:word-of-pass@127.0.0.1:{valkey.port}/0"
    return start(SESSION_STORE="redis", REDIS_URL=url, LOG_LEVEL="debug")


def log_in_and_visit(node: RunningNode, user: str) -> HttpClient:
    browser = node.log_in(user)
    assert browser.post("/visits").json() == {"visits": 1}
    return browser


def assert_outage(browser: HttpClient) -> None:
    """Check what every address does without its store."""
    before = browser.cookies.get_dict()
    for method, path, body in NEEDS_SESSION:
        for headers in ({}, HTML):
            answer = browser.request(method, path, json=body, headers=headers, allow_redirects=False)
            assert answer.status_code == 503, (method, path, answer.text)
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["X-Served-By"] == "node-2"
            assert "Traceback" not in answer.text
    assert "please try again" in browser.get("/", headers=HTML).text
    assert "check before you repeat it" in browser.post("/visits", headers=HTML).text
    assert browser.cookies.get_dict() == before
    for path, status in UNTOUCHED.items():
        assert browser.get(path).status_code == status
    assert HttpClient(browser.url).get("/me").status_code == 200  # without a cookie no store is needed


def assert_back(browsers: dict[str, HttpClient]) -> None:
    for user, browser in browsers.items():
        wait_until(lambda browser=browser: browser.get("/ready").status_code == 200)  # type: ignore[misc]
        me = browser.get("/me").json()
        assert (me["user"], me["visits"], me["cart"]) == (user, 1, {})


def test_a_killed_store_logs_no_user_out(node: RunningNode, valkey: Valkey) -> None:
    browsers = {user: log_in_and_visit(node, user) for user in ("alice", "bob")}
    valkey.kill()
    assert_outage(browsers["alice"])
    failed = re.compile(r'node_store_failures_total{operation="load"} [1-9]')
    wait_until(lambda: failed.search(browsers["alice"].get("/metrics").text))
    assert "node_store_up 0.0" in browsers["alice"].get("/metrics").text
    assert any(line["message"].startswith("a session could not be used: Redis: ") for line in node.lines())
    valkey.start()
    add_user(valkey)
    assert "word-of-pass" not in node.log.read_text()
    assert_back(browsers)
    wait_until(lambda: "node_store_up 1.0" in browsers["alice"].get("/metrics").text)


def test_a_silent_store_holds_no_request_for_longer_than_its_budget(node: RunningNode, valkey: Valkey) -> None:
    browser = log_in_and_visit(node, "alice")
    with valkey.paused():
        start = time.monotonic()
        answer = browser.get("/me")
        assert time.monotonic() - start < 2.0
        assert answer.status_code == 503
        assert "Set-Cookie" not in answer.headers
        # The other requests of the same worker are not held up by those that wait.
        start = time.monotonic()
        assert HttpClient(node.url).get("/live").status_code == 200
        assert time.monotonic() - start < 1.0
    assert_back({"alice": browser})
