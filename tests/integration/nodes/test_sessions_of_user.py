"""Where a user is logged in: seen and ended by them, on any node, and by an administrator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.settings import StoreKind
from tests.support.node import PASSWORD, ROOT, SECRET, RunningNode, environment
from tests.support.node_app import log_in
from tests.support.valkey import Valkey


def test_a_store_that_can_not_list_them_says_so(users_file: Path, valkey: Valkey) -> None:
    settings = Settings(
        node_name="n", secrets=(SECRET,), users_file=users_file, store=StoreKind.EXPRESS, redis_url=valkey.url
    )
    answer = log_in(create_app(settings)).get("/sessions")
    assert (answer.status_code, "can't list" in answer.get_json()["error"]) == (501, True)


# ---- several nodes, and an administrator


@pytest.fixture
def nodes(run_node: Callable[..., RunningNode], valkey: Valkey) -> list[RunningNode]:
    redis = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url}
    return [run_node(NODE_NAME=f"node-{number}", **redis) for number in (1, 2)]


def me(node: RunningNode, browser: requests.Session) -> Any:
    return browser.get(f"{node.url}/me", timeout=10).json()["user"]


def test_what_one_node_ends_is_ended_on_all(nodes: list[RunningNode]) -> None:
    mine, other = nodes[0].log_in(), nodes[1].log_in()
    assert len(mine.get(f"{nodes[1].url}/sessions", timeout=10).json()["sessions"]) == 2
    assert mine.delete(f"{nodes[1].url}/sessions", timeout=10).json() == {"ended": 1}
    assert [me(node, other) for node in nodes] == [None, None]
    assert [me(node, mine) for node in nodes] == ["alice", "alice"]


def administration(users: Path, valkey: Valkey, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nodes.admin", *arguments],
        env=environment(users, SESSION_STORE="redis", REDIS_URL=valkey.url) | {"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_administrator_ends_disables_and_enables(tmp_path: Path, valkey: Valkey) -> None:
    users = tmp_path / "users.json"
    create_users(users, ["alice", "bob"], PASSWORD)
    redis = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url}
    with RunningNode(users, tmp_path / "log", **redis) as node:
        one, two, bob = node.log_in(), node.log_in(), node.log_in("bob")
        assert len(administration(users, valkey, "list", "--user", "alice").stdout.splitlines()) == 2
        assert administration(users, valkey, "disable", "alice").stdout == "alice is disabled; 2 sessions ended\n"
        assert [me(node, browser) for browser in (one, two, bob)] == [None, None, "bob"]
        credentials = {"user": "alice", "password": PASSWORD}
        assert requests.post(f"{node.url}/login", json=credentials, timeout=10).status_code == 401
        assert administration(users, valkey, "enable", "alice").returncode == 0
        again = node.log_in()
        assert administration(users, valkey, "end", "--all").returncode == 0
        assert [me(node, browser) for browser in (again, bob)] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["end"], "give --user NAME or --all"),
        (["end", "--all", "--user", "alice"], "give --user NAME or --all"),
        (["disable", "nobody"], "no such user: 'nobody'"),
    ],
)
def test_an_administrators_mistake_is_answered_in_a_line(
    users_file: Path, valkey: Valkey, arguments: list[str], message: str
) -> None:
    done = administration(users_file, valkey, *arguments)
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]
