"""The log of a node under gunicorn, whatever clients send."""

import json
from collections.abc import Callable

from tests.support.hostile import assert_no_secret, hostile_requests
from tests.support.http_client import HttpClient, send_raw
from tests.support.node import RunningNode
from tests.support.waiting import wait_until


def test_hostile_requests_leave_lines_of_json_without_their_secrets(run_node: Callable[..., RunningNode]) -> None:
    node = run_node(SESSION_STORE="memory", LOG_LEVEL="debug")
    for request in hostile_requests():
        send_raw(node.port, request, quiet=0.5)
    HttpClient(node.url).get("/the-end")
    wait_until(lambda: "/the-end" in node.log.read_text(encoding="utf-8"), "the last request is logged")
    lines = node.lines()  # fails where one is not JSON
    assert max(len(json.dumps(line)) for line in lines) < 3000
    paths = {line.get("path") for line in lines}
    assert {"/login", "/sessions/***.***", "/***", "/a"} <= paths
    assert [line["message"] for line in lines if line["message"].startswith("Invalid request from ip=127.0.0.1: ")]
    assert_no_secret(node.log.read_text(encoding="utf-8"))
