"""A real node while its store is away: nobody is logged out, and what needs no session goes on."""

import time
from collections.abc import Callable

import pytest
import requests

from tests.support.node import PASSWORD, RunningNode, eventually
from tests.support.node_app import HTML
from tests.support.valkey import Valkey

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


@pytest.fixture
def node(run_node: Callable[..., RunningNode], valkey: Valkey) -> RunningNode:
    return run_node(SESSION_STORE="redis", REDIS_URL=valkey.url)


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
    eventually(lambda: requests.get(f"{node.url}/ready", timeout=10).status_code == 200)
    for user, browser in browsers.items():
        me = browser.get(f"{node.url}/me", timeout=10).json()
        assert (me["user"], me["visits"], me["cart"]) == (user, 1, {})


def test_a_store_that_was_killed_logs_nobody_out(node: RunningNode, valkey: Valkey) -> None:
    browsers = {user: gather(node, user) for user in ("alice", "bob")}
    valkey.kill()
    assert_outage(node, browsers["alice"])
    valkey.start()
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


def test_the_failures_of_the_store_are_counted_and_logged_without_its_secrets(
    run_node: Callable[..., RunningNode], valkey: Valkey
) -> None:
    with valkey.client() as client:
        client.acl_setuser("nodes", enabled=True, passwords=["+word-of-pass"], keys=["*"], commands=["+@all"])
    node = run_node(SESSION_STORE="redis", REDIS_URL=f"redis://nodes:word-of-pass@127.0.0.1:{valkey.port}/0")
    browser = gather(node, "alice")
    valkey.kill()
    assert browser.get(f"{node.url}/me", timeout=10).status_code == 503
    metrics = requests.get(f"{node.url}/metrics", timeout=10).text
    assert 'node_store_failures_total{operation="load"} 1.0' in metrics
    assert any(line["level"] == "warning" and line.get("request_id") for line in node.lines())
    assert "word-of-pass" not in node.log.read_text()
