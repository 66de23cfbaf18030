"""Two applications on one store: each has sessions, users and counters of its own under its namespace."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from deploy.ports import free_ports
from nodes import Settings, create_app
from nodes.stores import create_schema
from tests.support.node import PASSWORD, PATIENT, ROOT, command, environment, store_settings
from tests.support.node_app import attempt_login, log_in, user_of
from tests.support.valkey import Valkey


@pytest.fixture(params=["sqlite", "redis", "express"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "sqlite":
        return store_settings("sqlite", tmp_path)
    server: Valkey = request.getfixturevalue("server")
    with server.client() as client:
        client.flushdb()
    return {"SESSION_STORE": request.param, "REDIS_URL": server.url, **PATIENT}


def make_app(users_file: Path, store: dict[str, str], namespace: str) -> Flask:
    more = {"STORE_NAMESPACE": namespace, "SESSION_SECRETS": f"{namespace:x<32}"}
    settings = Settings.from_environ(environment(users_file, **store, **more))
    create_schema(settings)
    return create_app(settings)


def test_ending_all_sessions_of_a_user_ends_none_of_another_application(
    users_file: Path, store: dict[str, str], request: pytest.FixtureRequest
) -> None:
    ours, others = (make_app(users_file, store, namespace) for namespace in ("shop", "blog"))
    plain = make_app(users_file, store, "")
    first, second = log_in(ours), log_in(ours)
    elsewhere = [log_in(others), log_in(plain)]
    ours.extensions["sessions"].end_all("alice")
    assert [user_of(client) for client in (first, second)] == [None, None]
    assert [user_of(client) for client in elsewhere] == ["alice", "alice"]
    others.extensions["sessions"].end_everyone()
    assert [user_of(client) for client in elsewhere] == [None, "alice"]
    changed = log_in(ours).post("/password", json={"current": PASSWORD, "new": f"{PASSWORD} of the shop"})
    assert changed.status_code == 204
    assert user_of(log_in(plain)) == user_of(log_in(others)) == "alice"
    if store["SESSION_STORE"] == "sql":
        return
    server: Valkey = request.getfixturevalue("server")
    with server.client() as client:
        client.flushdb()
        attempt_login(ours.test_client())
        log_in(ours).post("/logout")
        log_in(ours)
        names = [name.decode() for name in client.keys("*")]
    assert len(names) >= 4
    assert [name for name in names if "shop:" not in name] == []


@pytest.mark.parametrize("create", ["on", "off"])
def test_a_table_of_another_application_ends_the_node_in_one_line(
    users_file: Path, tmp_path: Path, create: str
) -> None:
    store = store_settings("sqlite", tmp_path) | {"DATABASE_CREATE_SCHEMA": create}
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as database:
        database.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, fields BLOB)")
    given = {"NODE_BIND": f"127.0.0.1:{free_ports(1)[0]}", **store}
    done = subprocess.run(
        command(), cwd=ROOT, env=environment(users_file, **given), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith(
        "error: the table `sessions` is not a table of sessions: it lacks the columns key, set_aside"
    )
    assert line.endswith("; choose a STORE_NAMESPACE")
    assert user_of(log_in(make_app(users_file, store, "shop"))) == "alice"
