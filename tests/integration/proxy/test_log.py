"""The proxy's logs, whatever clients send: valid JSON of bounded length, and no secret in them."""

import json
from typing import Any

from tests.integration.proxy.conftest import Nodes, StartProxy
from tests.support.hostile import SECRET, assert_no_secret, hostile_requests
from tests.support.http_client import send_raw
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until


def requests(port: int) -> None:
    for request in hostile_requests():
        send_raw(port, request, quiet=0.5)


def logs(proxy: RunningProxy, least: int) -> tuple[list[dict[str, Any]], str]:
    """Return the lines of the access log, once there are so many, and the text of all logs."""
    access = proxy.folder / "access.log"
    wait_until(lambda: access.read_bytes().count(b"\n") >= least, "the requests are logged")
    lines = access.read_text(encoding="utf-8").splitlines()  # fails where it is not UTF-8
    text = "".join(path.read_text(encoding="utf-8") for path in (access, proxy.folder / "error.log", proxy.log))
    return [json.loads(line) for line in lines], text


def test_hostile_requests_are_lines_of_json_without_their_secrets(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    requests(proxy.port)
    lines, text = logs(proxy, len(hostile_requests()))
    assert_no_secret(text)
    assert max(len(json.dumps(line)) for line in lines) < 2000
    assert {"/login", "/sessions/***", "/***"} <= {line["uri"] for line in lines}


def assert_logged_without_secrets(proxy: RunningProxy, status: int) -> None:
    for _ in range(4):
        proxy.post(f"/login?password={SECRET}", headers={"Referer": f"http://localhost/?{SECRET}"})
    lines, text = logs(proxy, 4)
    assert_no_secret(text)
    assert status in {line["status"] for line in lines}


def test_logins_that_no_node_answers_are_logged_without_secrets(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(connect_timeout=0.2)
    for node in nodes:
        node.die()
    assert_logged_without_secrets(proxy, 502)


def test_logins_beyond_the_rate_are_logged_without_secrets(start_proxy: StartProxy) -> None:
    assert_logged_without_secrets(start_proxy(login_rate=1, login_burst=1), 429)


def test_logins_that_are_shed_are_logged_without_secrets(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_in_flight=1)
    waiting = proxy.open_request("/wait")
    wait_until(lambda: any(node.hits("/wait") for node in nodes), "it waits at a node")
    assert_logged_without_secrets(proxy, 503)
    waiting.close()
