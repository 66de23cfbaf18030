"""Guessing passwords: bounded over all nodes, and never to the cost of the user."""

from __future__ import annotations

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
