"""A node on each kind of store knows the sessions of another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from nodes import Settings, create_app
from tests.support.node import PASSWORD, PATIENT, RunningNode, environment, store_settings
from tests.support.node_app import log_in, user_of
from tests.support.records import HOUR
from tests.support.valkey import Valkey

ENCRYPTING = {"SESSION_ENCRYPTION_KEYS": "5e" * 32, "SESSION_ENCRYPTION": "read"}


@pytest.fixture(params=["file", "sqlite", "redis", "encrypting"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param in {"file", "sqlite"}:
        return store_settings(request.param, tmp_path)
    server: Valkey = request.getfixturevalue("server")
    server.client().flushdb()
    more = ENCRYPTING if request.param == "encrypting" else {}
    return {"SESSION_STORE": "redis", "REDIS_URL": server.url, **PATIENT, **more}


def test_two_nodes_on_one_store_share_their_sessions(
    run_node: Callable[..., RunningNode], users_file: Path, settings: dict[str, str]
) -> None:
    node = run_node(NODE_NAME="node-1", **settings)  # first: it makes the tables
    browser = node.log_in()
    assert browser.post("/visits", json={}).json() == {"visits": 1}
    if "SESSION_ENCRYPTION" in settings:
        settings = settings | {"SESSION_ENCRYPTION": "write"}  # the step that follows
    other = create_app(Settings.from_environ(environment(users_file, **settings)))
    same: FlaskClient = other.test_client()
    same.set_cookie("session", browser.cookies["session"])
    assert same.post("/visits").get_json() == {"visits": 2}
    assert same.get("/me").get_json()["user"] == "alice"
    assert same.post("/logout").status_code == 204
    assert browser.get("/me").json()["user"] is None
    assert browser.get("/ready").status_code == 200
    assert user_of(log_in(other)) == "alice"


def test_a_user_with_very_many_sessions_ends_them_in_requests_of_bounded_time(
    run_node: Callable[..., RunningNode],
    users_file: Path,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_node(**settings)  # it makes the tables
    app = create_app(Settings.from_environ(environment(users_file, **settings)))
    mine, other, sessions = log_in(app), log_in(app), app.extensions["sessions"]
    for number in range(250):
        sessions.store.create(f"{number:02x}{number:062x}", {}, "alice", HOUR)
    change = {"current": PASSWORD, "new": "a new and longer password"}
    monkeypatch.setattr("nodes.account_sessions.END_SECONDS", 0)
    answers = [mine.delete("/sessions"), mine.post("/password", json=change)]
    assert [(answer.status_code, "Retry-After" in answer.headers) for answer in answers] == [(503, True)] * 2
    assert "send the request again" in answers[0].get_json()["error"]
    assert "was not changed" in answers[1].get_json()["error"]
    monkeypatch.undo()
    assert mine.post("/password", json=change).status_code == 204
    assert len(sessions.users.of("alice")) == 1
    assert (user_of(mine), user_of(other)) == ("alice", None)


def test_a_store_that_cannot_list_a_users_sessions_says_so(users_file: Path, server: Valkey) -> None:
    server.client().flushdb()
    express = {"SESSION_STORE": "express", "REDIS_URL": server.url, **PATIENT}
    app = create_app(Settings.from_environ(environment(users_file, **express)))
    answer = log_in(app).get("/sessions")
    assert (answer.status_code, "can't list" in answer.get_json()["error"]) == (501, True)
