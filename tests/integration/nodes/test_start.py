"""How a node starts, and how it refuses to."""

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.ports import free_ports
from tests.support.http_client import HttpClient
from tests.support.node import ROOT, RunningNode, command, environment
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"SESSION_SECRETS": "short"}, "SESSION_SECRETS: secret 1 must have at least 32 bytes, not 5"),
        ({"USERS_FILE": str(ROOT / "pyproject.toml")}, "USERS_FILE: "),
    ],
)
def test_a_wrong_setting_is_one_line_and_a_failure(users_file: Path, settings: dict[str, str], expected: str) -> None:
    given = {"NODE_BIND": f"127.0.0.1:{free_ports(1)[0]}", **settings}
    done = subprocess.run(
        command(), cwd=ROOT, env=environment(users_file, **given), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


SQL = {"SESSION_STORE": "sql", "DATABASE_URL": "postgresql://u:p@h:abc/x"}


@pytest.mark.parametrize(
    ("settings", "status", "expected"),
    [
        ({"SESSION_STORE": "redis", "REDIS_URL": "redis://h/0?foo=bar"}, 3, "REDIS_URL: the URL has an unknown option"),
        ({"SESSION_STORE": "express", "REDIS_URL": "redis+cluster://h"}, 3, "REDIS_URL: a Redis Cluster can't hold"),
        (SQL, 2, "DATABASE_URL: the URL must be"),
        (SQL | {"DATABASE_CREATE_SCHEMA": "on"}, 2, "DATABASE_URL: the URL must be"),
    ],
)
def test_a_wrong_url_of_a_store_ends_the_node_and_leaves_no_folder(
    users_file: Path, tmp_path: Path, settings: dict[str, str], status: int, expected: str
) -> None:
    given = {"NODE_BIND": f"127.0.0.1:{free_ports(1)[0]}", "TMPDIR": str(tmp_path), **settings}
    done = subprocess.run(
        command(), cwd=ROOT, env=environment(users_file, **given), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == status
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith(f"error: {expected}")
    assert list(tmp_path.iterdir()) == []


def test_a_node_without_its_database_and_with_a_misspelt_setting_says_so(
    run_node: Callable[..., RunningNode],
) -> None:
    url = f"postgresql://u:p@127.0.0.1:{free_ports(1)[0]}/x"
    settings = {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on"}
    node = run_node(**settings, SESSION_IDEL_TIMEOUT="5")
    wait_until(lambda: any("is served" in line["message"] for line in node.lines()))
    messages = [line["message"] for line in node.lines()]
    (schema,) = [text for text in messages if text.startswith("the schema was not made: ")]
    assert "Connection refused" in schema
    assert schema.endswith("; run `python -m nodes.stores` when the database answers")
    assert any("did you mean SESSION_IDLE_TIMEOUT?" in text for text in messages)


def test_a_request_in_flight_is_finished_before_the_node_stops(run_node: Callable[..., RunningNode]) -> None:
    node = run_node()
    body = '{"user": "alice", "password": "wrong"}'
    head = f"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as connection:
        connection.sendall((head + body[:5]).encode())
        node.process.send_signal(signal.SIGTERM)
        wait_until(lambda: any("Handling signal: term" in line["message"] for line in node.lines()))
        connection.sendall(body[5:].encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
    assert node.process.wait(timeout=20) == 0


PATIENT = {"GUNICORN_CMD_ARGS": "--graceful-timeout 60"}
"""A node that would wait longer than the test does for what is still open."""


def test_an_idle_connection_does_not_keep_a_node_from_stopping(run_node: Callable[..., RunningNode]) -> None:
    node = run_node(**PATIENT)
    with HttpClient(node.url, {"Connection": "keep-alive"}) as proxy:
        proxy.get("/live")
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(timeout=30) == 0


def test_a_busy_connection_is_told_to_close_and_loses_no_request(run_node: Callable[..., RunningNode]) -> None:
    node = run_node(**PATIENT)
    with HttpClient(node.url, {"Connection": "keep-alive"}) as proxy:
        proxy.get("/live")
        node.process.send_signal(signal.SIGTERM)

        def told_to_close() -> bool:
            answer = proxy.get("/live")
            assert answer.status_code == 200
            return answer.headers["Connection"] == "close"

        wait_until(told_to_close)
    assert node.process.wait(timeout=30) == 0


def test_a_node_logs_its_budgets_once_and_leaves_no_folder_behind(users_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    settings = {"NODE_WORKERS": "2", "STORE_DEADLINE": "0.75", "TMPDIR": str(folder)}
    with RunningNode(users_file, tmp_path / "node.log", **settings) as node:
        (line,) = [line for line in node.lines() if "store_budgets" in line]
        budgets = {"connect_timeout": 0.25, "read_timeout": 0.25, "retries": 1, "deadline": 0.75}
        assert line["store_budgets"] == {**budgets, "outage": "fail_fast"}
        assert (line["node"], line["workers"]) == ("node-2", 2)
        assert [path.name.startswith("node-metrics-") for path in folder.iterdir()] == [True]
        assert HttpClient(node.url).get("/metrics").status_code == 200
    assert list(folder.iterdir()) == []
