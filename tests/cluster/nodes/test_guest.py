"""A node that serves an application of somebody's own in place of the shop."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.ports import free_ports
from tests.support.http_client import HttpClient
from tests.support.lacks import import_package
from tests.support.node import ROOT, RunningNode, command, environment, store_settings
from tests.support.waiting import wait_until

BLOG = """
from flask import Flask, session
from flask_shared_sessions import Sessions
app = Flask(__name__)
Sessions.from_environment(app)
app.logger.warning("hello from the blog")

@app.get("/")
def count():
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"], "key": app.secret_key}

@app.get("/live")
def live():
    raise RuntimeError

def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.url_scheme"].encode()]

cookies = Flask("cookies")
cookies.secret_key = "x"
"""


@pytest.fixture
def guest(run_node: Callable[..., RunningNode], tmp_path: Path) -> Callable[..., RunningNode]:
    """Return a function that starts a node with the application of this name."""
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "blog.py").write_text(BLOG)
    store = store_settings("sqlite", tmp_path)
    folder = str(tmp_path / "blog")
    return lambda name, **more: run_node(**{"NODE_APP": name, "NODE_APP_FOLDER": folder, **store, **more})


def test_nodes_share_the_sessions_of_the_application(guest: Callable[..., RunningNode]) -> None:
    nodes = [guest("blog:app", NODE_NAME=f"node-{number}") for number in (1, 2)]
    browser = HttpClient(nodes[0].url)
    answers = [browser.get(f"{node.url}/") for node in (*nodes, *nodes)]
    assert [answer.json()["visits"] for answer in answers] == [1, 2, 3, 4]
    assert len({answer.json()["key"] for answer in answers}) == 1
    assert [answer.headers["X-Served-By"] for answer in answers] == ["node-1", "node-2"] * 2
    assert "Content-Security-Policy" not in answers[0].headers
    assert "X-Request-ID" in answers[0].headers
    assert browser.get("/live").json() == {"live": True, "node": "node-1"}
    assert browser.get("/ready").json() == {"ready": True, "node": "node-1"}
    metrics = browser.get("/metrics").text
    assert 'node_requests_total{method="GET",route="/",status="200"} 2.0' in metrics
    assert 'node_session_events_total{event="created"} 1.0' in metrics
    (said,) = [line for line in nodes[0].lines() if line["message"] == "hello from the blog"]
    assert said["node"] == "node-1"
    assert any(line.get("path") == "/" and line["status"] == 200 for line in nodes[0].lines())


def test_the_example_of_several_extensions_works_on_several_nodes(guest: Callable[..., RunningNode]) -> None:
    for each in ("flask_babel", "flask_login", "flask_wtf"):
        import_package(each)
    options = {"NODE_APP_FOLDER": str(ROOT / "docs" / "examples"), "SESSION_ANONYMOUS_RATE": ""}
    first, second = (guest("notices:create_app()", NODE_NAME=name, **options) for name in ("node-1", "node-2"))
    browser = HttpClient(first.url)

    def send(path: str, text: str) -> str:
        """Get the form from one node and send it to the other, with the CSRF token of the first."""
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.get(f"{first.url}{path}").text)
        assert token is not None
        answer = browser.post(f"{second.url}{path}", data={"csrf_token": token[1], "text": text})
        assert answer.status_code == 200, answer.text
        return answer.text

    assert "Welcome." in send("/login", "alice")
    assert "Saved: one" in send("/", "one")
    assert browser.get(f"{first.url}/whoami").text == "alice"
    assert "<li>one</li>" in browser.get(f"{first.url}/list").text


def test_an_application_needs_no_flask(guest: Callable[..., RunningNode]) -> None:
    node = guest("blog:plain")
    browser = HttpClient(node.url, {"X-Forwarded-Proto": "https"})
    assert browser.get("/").text == "https"
    assert browser.get("/live").status_code == 200


def test_sessions_in_a_cookie_are_a_line_in_the_log(guest: Callable[..., RunningNode]) -> None:
    node = guest("blog:cookies")
    wait_until(lambda: any("blog:cookies has its sessions in a cookie" in line["message"] for line in node.lines()))


def test_the_reason_of_an_outage_is_in_the_log_of_the_node(guest: Callable[..., RunningNode]) -> None:
    node = guest("blog:app", SESSION_STORE="redis", REDIS_URL="redis://127.0.0.1:1/0")
    statuses = [HttpClient(node.url).get(path).status_code for path in ("/", "/ready", "/")]
    assert statuses == [503] * 3
    said = [line["message"] for line in node.lines() if line["level"] == "warning" and "Redis" in line["message"]]
    assert len(said) == 1, said
    assert "connecting to 127.0.0.1:1" in said[0]


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("blog", 2, "NODE_APP must be module:name or module:function(), not blog"),
        ("nowhere:app", 3, "NODE_APP=nowhere:app: No module named 'nowhere' in "),
        ("wrong:app", 3, "NODE_APP=wrong:app: ZeroDivisionError: division by zero"),
        ("blog:nothing", 3, "NODE_APP=blog:nothing: Failed to find attribute 'nothing' in 'blog'"),
    ],
)
def test_an_application_that_cannot_be_found_is_one_line(
    users_file: Path, tmp_path: Path, name: str, status: int, expected: str
) -> None:
    (tmp_path / "blog.py").write_text("")
    (tmp_path / "wrong.py").write_text("1 / 0")
    settings = {"NODE_BIND": f"127.0.0.1:{free_ports(1)[0]}", "NODE_APP": name, "NODE_APP_FOLDER": str(tmp_path)}
    done = subprocess.run(
        command(), cwd=ROOT, env=environment(users_file, **settings), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == status
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith(f"error: {expected}"), json.dumps(done.stderr)
