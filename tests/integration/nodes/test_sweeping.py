"""Sessions that expired leave the disk, without anybody asking for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nodes import Settings, create_app
from tests.support.node import RunningNode, environment, store_settings
from tests.support.node_app import log_in
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

SOON = {"SESSION_IDLE_TIMEOUT": "2", "LOGIN_ATTEMPTS": "0"}


def count_stored(store: str, folder: Path) -> int:
    """How many sessions lie on the disk, expired or not."""
    if store == "file":
        shards = [path for path in (folder / "sessions").iterdir() if len(path.name) == 2]
        return sum(len(path.name) == 64 for shard in shards for path in shard.iterdir())
    with closing(sqlite3.connect(folder / "sessions.db")) as database:
        return int(database.execute("SELECT count(*) FROM sessions").fetchone()[0])


@pytest.mark.parametrize("store", ["file", "sqlite"])
def test_a_node_sweeps_what_expired_and_leaves_what_lives(
    store: str, run_node: Callable[..., RunningNode], users_file: Path, tmp_path: Path
) -> None:
    settings = store_settings(store, tmp_path)
    node = run_node(SESSION_SWEEP_SECONDS="0.2", NODE_WORKERS="2", LOGIN_ATTEMPTS="0", **settings)
    browser = node.log_in()
    brief = create_app(Settings.from_environ(environment(users_file, **SOON, **settings)))
    for _ in range(3):
        log_in(brief)
    assert count_stored(store, tmp_path) == 4
    wait_until(lambda: count_stored(store, tmp_path) == 1)
    assert browser.get("/me").json()["user"] == "alice"
    swept = "expired sessions were swept"
    wait_until(lambda: sum(line["removed"] for line in node.lines() if line["message"] == swept) == 3)
    assert 'node_session_events_total{event="expired"} 3.0' in browser.get("/metrics").text


def test_a_redis_node_has_nothing_to_sweep(run_node: Callable[..., RunningNode], valkey: Valkey) -> None:
    node = run_node(SESSION_STORE="redis", REDIS_URL=valkey.url, SESSION_SWEEP_SECONDS="0.05", **SOON)
    node.log_in()
    wait_until(lambda: valkey.client().keys("session:[0-9a-f][0-9a-f]*") == [])
    assert not [line for line in node.lines() if "swe" in line["message"]]
