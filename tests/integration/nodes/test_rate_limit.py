"""Guessing passwords: bounded over all nodes, and never to the cost of the user."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.sessions import Iterable, find_capability
from nodes.settings import StoreKind
from nodes.stores import create_schema
from tests.support.node import PASSWORD, SECRET, RunningNode
from tests.support.valkey import Valkey


def guess(
    client: FlaskClient, user: str = "alice", password: str = "wrong password", address: str = "192.0.2.1"
) -> Any:
    return client.post("/login", json={"user": user, "password": password}, environ_base={"REMOTE_ADDR": address})


def test_guesses_are_counted_over_all_nodes_and_at_the_same_time(
    run_node: Callable[..., RunningNode], valkey: Valkey
) -> None:
    redis = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url, "LOGIN_ATTEMPTS": "4"}
    nodes = [run_node(NODE_NAME=f"node-{number}", **redis) for number in (1, 2)]

    def one(number: int) -> int:
        forged = {"X-Forwarded-For": f"203.0.113.{number}, 192.0.2.8"}
        body = {"user": "alice", "password": "wrong password"}
        return requests.post(f"{nodes[number % 2].url}/login", json=body, headers=forged, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(12)))
    assert sorted(statuses) == [401] * 4 + [429] * 8


def test_without_the_store_nobody_guesses(run_node: Callable[..., RunningNode], valkey: Valkey) -> None:
    node = run_node(SESSION_STORE="redis", REDIS_URL=valkey.url)
    with valkey.paused():
        answer = requests.post(f"{node.url}/login", json={"user": "alice", "password": PASSWORD}, timeout=30)
    assert answer.status_code == 503
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("kind", [kind for kind in StoreKind if kind is not StoreKind.MEMORY])
def test_guesses_are_counted_on_each_store_apart_from_the_sessions(
    kind: StoreKind, users_file: Path, tmp_path: Path, server: Valkey
) -> None:
    server.client().flushdb()
    settings = Settings(
        node_name="n",
        secrets=(SECRET,),
        users_file=users_file,
        login_attempts=3,
        store=kind,
        redis_url=server.url,
        database_url=f"sqlite:///{tmp_path / 'sessions.db'}",
        folder=tmp_path / "made" / "sessions",
    )
    create_schema(settings)
    app = create_app(settings)
    assert [guess(app.test_client()).status_code for _ in range(4)] == [401, 401, 401, 429]
    sessions = find_capability(app.extensions["store"], Iterable)
    assert sessions is not None
    assert sessions.count() == 0
    assert guess(app.test_client(), password=PASSWORD, address="192.0.2.2").status_code == 200
    assert sessions.count() == 1
