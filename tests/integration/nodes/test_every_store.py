"""A node on each kind of store knows the sessions of another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from nodes import Settings, create_app
from tests.support.node import PATIENT, RunningNode, environment
from tests.support.node_app import log_in, user_of
from tests.support.valkey import Valkey

ENCRYPTING = {"SESSION_ENCRYPTION_KEYS": "5e" * 32, "SESSION_ENCRYPTION": "read"}


@pytest.fixture(params=["file", "sqlite", "redis", "encrypting"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "file":
        return {"SESSION_STORE": "file", "SESSION_FOLDER": str(tmp_path / "sessions"), **PATIENT}
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'sessions.db'}"
        return {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on", **PATIENT}
    server: Valkey = request.getfixturevalue("server")
    more = ENCRYPTING if request.param == "encrypting" else {}
    return {"SESSION_STORE": "redis", "REDIS_URL": server.url, **PATIENT, **more}


def test_two_nodes_on_one_store_share_their_sessions(
    run_node: Callable[..., RunningNode], users_file: Path, settings: dict[str, str]
) -> None:
    node = run_node(NODE_NAME="node-1", **settings)  # first: it makes the tables
    browser = node.log_in()
    assert browser.post(f"{node.url}/visits", json={}, timeout=10).json() == {"visits": 1}
    next_step = {"SESSION_ENCRYPTION": "write"} if "SESSION_ENCRYPTION" in settings else {}
    other = create_app(Settings.from_environ(environment(users_file, **(settings | next_step))))
    same: FlaskClient = other.test_client()
    same.set_cookie("session", browser.cookies["session"])
    assert same.post("/visits").get_json() == {"visits": 2}
    assert same.get("/me").get_json()["user"] == "alice"
    assert same.post("/logout").status_code == 204
    assert browser.get(f"{node.url}/me", timeout=10).json()["user"] is None
    assert browser.get(f"{node.url}/ready", timeout=10).status_code == 200
    elsewhere = log_in(other)
    assert elsewhere.post("/visits").get_json() == {"visits": 1}
    assert user_of(elsewhere) == "alice"


def test_a_store_that_cannot_list_a_users_sessions_says_so(users_file: Path, server: Valkey) -> None:
    express = {"SESSION_STORE": "express", "REDIS_URL": server.url, **PATIENT}
    app = create_app(Settings.from_environ(environment(users_file, **express)))
    answer = log_in(app).get("/sessions")
    assert (answer.status_code, "can't list" in answer.get_json()["error"]) == (501, True)
