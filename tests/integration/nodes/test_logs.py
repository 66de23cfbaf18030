"""What a node writes down, and what it never does."""

import hashlib
import io
import json
import logging
from collections.abc import Callable

import pytest
import requests

from nodes.logs import JsonFormatter
from tests.integration.nodes.test_csrf import HTML
from tests.support.node import PASSWORD, RunningNode
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


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("node-7"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, stream


@pytest.mark.parametrize("text", ["two\nlines", 'quote " and \\', "\x1b[31mred", "\u2028", "\ud800 alone", "日本"])
def test_whatever_a_client_sends_stays_one_line_of_json(log: tuple[logging.Logger, io.StringIO], text: str) -> None:
    logger, stream = log
    logger.warning("%s", text, extra={"path": text})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    line = json.loads(written)
    assert (line["message"], line["path"], line["node"], line["level"]) == (text, text, "node-7", "warning")


def test_an_exception_is_a_field(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        int("why")
    except ValueError:
        logger.exception("it failed")
    line = json.loads(stream.getvalue())
    assert line["exception"].endswith("'why'")
