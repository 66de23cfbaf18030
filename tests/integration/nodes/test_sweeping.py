"""Sessions that expired leave the disk, without anybody asking for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import requests

from nodes.sessions import Sweeper
from nodes.sessions.cookie import SignedCookie
from nodes.sessions.store import OnExpired, StoreUnavailable, ignore
from tests.support.node import RunningNode, eventually
from tests.support.valkey import Valkey

SOON = {"SESSION_IDLE_TIMEOUT": "1", "LOGIN_ATTEMPTS": "0"}


def settings_of(store: str, folder: Path) -> Mapping[str, str]:
    if store == "file":
        return {"SESSION_STORE": "file", "SESSION_FOLDER": str(folder / "files")}
    url = f"sqlite:///{folder / 'sessions.db'}"
    return {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on"}


def kept_by(store: str, folder: Path) -> int:
    """How many sessions lie on the disk, expired or not."""
    if store == "file":
        shards = [path for path in (folder / "files").iterdir() if len(path.name) == 2]
        return sum(len(path.name) == 64 for shard in shards for path in shard.iterdir())
    with closing(sqlite3.connect(folder / "sessions.db")) as database:
        return int(database.execute("SELECT count(*) FROM sessions").fetchone()[0])


@pytest.mark.parametrize("store", ["file", "sql"])
def test_a_node_sweeps_what_expired_and_leaves_what_lives(
    store: str, run_node: Callable[..., RunningNode], tmp_path: Path
) -> None:
    settings = settings_of(store, tmp_path)
    lasting = run_node(SESSION_SWEEP_SECONDS="0", NODE_NAME="node-1", LOGIN_ATTEMPTS="0", **settings)
    browser = lasting.log_in()
    brief = run_node(SESSION_SWEEP_SECONDS="0", **SOON, **settings)
    for _ in range(3):
        brief.log_in()
    assert kept_by(store, tmp_path) == 4
    brief.stop()
    sweeping = run_node(SESSION_SWEEP_SECONDS="0.2", NODE_WORKERS="2", **SOON, **settings)
    eventually(lambda: kept_by(store, tmp_path) == 1)
    assert browser.get(f"{lasting.url}/me", timeout=10).json()["user"] == "alice"
    swept = "expired sessions were swept"
    eventually(lambda: sum(line["removed"] for line in sweeping.lines() if line["message"] == swept) == 3)
    metrics = requests.get(f"{sweeping.url}/metrics", timeout=10).text
    assert 'node_session_events_total{event="expired"} 3.0' in metrics


def test_a_redis_node_has_nothing_to_sweep(run_node: Callable[..., RunningNode], valkey: Valkey) -> None:
    node = run_node(SESSION_STORE="redis", REDIS_URL=valkey.url, SESSION_SWEEP_SECONDS="0.05", **SOON)
    node.log_in()
    eventually(lambda: valkey.client().keys("session:[0-9a-f][0-9a-f]*") == [])
    assert not [line for line in node.lines() if "swe" in line["message"]]


class _Outage:
    """A store that fails to sweep twice, then removes 250."""

    def __init__(self) -> None:
        self.calls = 0
        self.left = 250

    cookie = SignedCookie()

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        self.calls += 1
        if self.calls <= 2:
            raise StoreUnavailable("no answer")
        batch = min(limit, self.left)
        self.left -= batch
        return batch


def test_an_outage_is_told_once_and_sweeping_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    store = _Outage()
    sweeper = Sweeper(store, 0.01)  # type: ignore[arg-type]
    assert sweeper.start()
    try:
        eventually(lambda: store.left == 0)
    finally:
        sweeper.stop()
    assert [record.message for record in caplog.records if "not swept" in record.message] == [
        "expired sessions were not swept: no answer"
    ]
