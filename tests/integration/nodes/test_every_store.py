"""Two real nodes on each kind of store know the same sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.node import PASSWORD, RunningNode
from tests.support.valkey import Valkey

KEYS = {"SESSION_ENCRYPTION_KEYS": "5e" * 32}
ENCRYPTED = {"encrypted": KEYS, "encrypting": {**KEYS, "SESSION_ENCRYPTION": "read"}}
EMBEDDED = ("file", "sqlite", "redis", "express", *ENCRYPTED)


@pytest.fixture(params=EMBEDDED)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "file":
        return {"SESSION_STORE": "file", "SESSION_FOLDER": str(tmp_path / "sessions")}
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'sessions.db'}"
        return {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on"}
    valkey: Valkey = request.getfixturevalue("valkey")
    store = "redis" if request.param in ENCRYPTED else request.param
    return {"SESSION_STORE": store, "REDIS_URL": valkey.url, **ENCRYPTED.get(request.param, {})}


def test_what_one_node_did_the_other_knows(run_node: Callable[..., RunningNode], settings: dict[str, str]) -> None:
    # One after the other: the second finds the tables that the first has made.
    one = run_node(NODE_NAME="node-1", **settings)
    next_step = {"SESSION_ENCRYPTION": "write"} if "SESSION_ENCRYPTION" in settings else {}
    other = run_node(NODE_NAME="node-2", **(settings | next_step))
    browser = one.log_in()
    assert browser.post(f"{one.url}/visits", json={}, timeout=10).json() == {"visits": 1}
    assert browser.post(f"{other.url}/visits", json={}, timeout=10).json() == {"visits": 2}
    me = browser.get(f"{other.url}/me", timeout=10)
    assert (me.json()["user"], me.json()["visits"], me.headers["X-Served-By"]) == ("alice", 2, "node-2")
    cookies = browser.cookies.copy()
    assert browser.post(f"{other.url}/logout", json={}, timeout=10).status_code == 204
    browser.cookies = cookies
    assert browser.get(f"{one.url}/me", timeout=10).json()["user"] is None
    assert browser.get(f"{one.url}/ready", timeout=10).status_code == 200
    again = browser.post(f"{one.url}/login", json={"user": "alice", "password": PASSWORD}, timeout=10)
    assert again.status_code == 200
