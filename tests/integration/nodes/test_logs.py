"""What a node writes down, and what it never does."""

import hashlib
from collections.abc import Callable

import requests

from tests.support.node import PASSWORD, RunningNode
from tests.support.node_app import HTML
from tests.support.valkey import Valkey


def test_each_request_is_one_line_with_the_hash_of_its_session(run_node: Callable[..., RunningNode]) -> None:
    node = run_node()
    browser = node.log_in()
    sent = {"X-Request-ID": "4bf92f3577b34da6a3ce929d0e0e4736"}
    browser.get(f"{node.url}/me?password={PASSWORD}", headers=sent, timeout=10)
    (line,) = [line for line in node.lines() if line.get("request_id") == sent["X-Request-ID"]]
    assert (line["method"], line["path"], line["status"], line["node"]) == ("GET", "/me", 200, "node-2")
    assert 0 < line["duration_ms"] < 10_000
    session_id = browser.cookies["session"].split(".")[0]
    assert line["session"] == hashlib.sha256(session_id.encode()).hexdigest()
    anonymous = requests.get(f"{node.url}/me", timeout=10).headers["X-Request-ID"]
    (line,) = [line for line in node.lines() if line.get("request_id") == anonymous]
    assert "session" not in line


def test_neither_ids_nor_passwords_are_in_the_log(run_node: Callable[..., RunningNode], valkey: Valkey) -> None:
    node = run_node(SESSION_STORE="redis", REDIS_URL=valkey.url, LOG_LEVEL="debug")
    browser = node.log_in()
    ids = {browser.cookies["session"]}
    wrong = "a wrong password"
    for body in ({"user": "alice", "password": wrong}, {"user": "bob", "password": PASSWORD}, {"user": wrong}):
        browser.post(f"{node.url}/login", json=body, timeout=10)
        browser.post(f"{node.url}/login", data=body, headers=HTML, timeout=10)
        ids.add(browser.cookies["session"])
    browser.get(f"{node.url}/me?session={browser.cookies['session']}&password={PASSWORD}", timeout=10)
    valkey.kill()
    browser.post(f"{node.url}/visits", timeout=10)
    text = node.log.read_text()
    assert text.count("\n") > 8
    for cookie in ids:
        session_id, _, signature = cookie.partition(".")
        assert session_id not in text
        assert signature not in text
    assert PASSWORD not in text
    assert wrong not in text


def test_health_checks_do_not_fill_the_log(run_node: Callable[..., RunningNode]) -> None:
    node = run_node()
    for path in ("/live", "/ready", "/metrics"):
        requests.get(f"{node.url}{path}", timeout=10)
    assert not [line for line in node.lines() if line.get("path")]
