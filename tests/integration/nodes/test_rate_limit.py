"""Guessing passwords: bounded over all nodes, and never to the cost of the user."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodes import Settings, create_app
from nodes.sessions import Iterable, find_capability
from nodes.store_kinds import SessionStoreKind
from nodes.stores import create_schema
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import attempt_login
from tests.support.valkey import Valkey


@pytest.mark.parametrize("kind", [kind for kind in SessionStoreKind if kind is not SessionStoreKind.MEMORY])
def test_concurrent_guesses_are_counted_over_all_nodes_apart_from_sessions(
    kind: SessionStoreKind, users_file: Path, tmp_path: Path, server: Valkey
) -> None:
    server.client().flushdb()
    settings = Settings(
        node_name="n",
        secrets=(SECRET,),
        users_file=users_file,
        login_attempts=3,
        connect_timeout=5,
        read_timeout=5,
        deadline=10,
        store=kind,
        redis_url=server.url,
        database_url=f"sqlite:///{tmp_path / 'sessions.db'}",
        folder=tmp_path / "made" / "sessions",
    )
    create_schema(settings)
    apps = [create_app(settings) for _ in range(2)]
    app = apps[0]
    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(lambda number: attempt_login(apps[number % 2].test_client()).status_code, range(12))
    assert sorted(statuses) == [401] * 3 + [429] * 9
    sessions = find_capability(app.extensions["store"], Iterable)
    assert sessions is not None
    assert sessions.count() == 0
    assert attempt_login(app.test_client(), password=PASSWORD, address="192.0.2.2").status_code == 200
    assert sessions.count() == 1


def test_counters_wait_for_no_replica(quick: Callable[[Settings], Settings], server: Valkey) -> None:
    """A login that waited for one in vain would be repeated, and each of them would count."""
    settings = Settings(
        node_name="n",
        secrets=(SECRET,),
        store=SessionStoreKind.REDIS,
        redis_url=server.url,
        durability="every_write",
        replicas=1,
    )
    app = create_app(quick(settings))
    assert attempt_login(app.test_client()).status_code == 401
    assert attempt_login(app.test_client(), password=PASSWORD).status_code == 503  # its session has no replica


def test_simultaneous_logins_do_not_wait_for_the_disk_one_after_another(
    quick: Callable[[Settings], Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All have one address, and so one counter, which they write one after another within the deadline.
    folder = tmp_path / "sessions"
    kind = SessionStoreKind.FILE
    app = create_app(quick(Settings(node_name="n", secrets=(SECRET,), store=kind, folder=folder, deadline=2)))
    write_to_disk = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (time.sleep(0.05), write_to_disk(descriptor)))
    with ThreadPoolExecutor(40) as pool:
        answers = pool.map(lambda _: attempt_login(app.test_client(), password=PASSWORD).status_code, range(40))
    assert set(answers) == {200}
