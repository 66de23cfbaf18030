"""A flood of anonymous sessions against a real Valkey with little memory: users log in and write until the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from nodes import Settings, create_app
from nodes.store_kinds import SessionStoreKind
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import log_in
from tests.support.valkey import Valkey

MEMORY = 2 * 1024 * 1024


@pytest.fixture
def small() -> Iterator[Valkey]:
    """A server of which an empty one uses 1.1 MB."""
    with closing(Valkey("--maxmemory", str(MEMORY), "--hash-max-listpack-value", "1024")) as server:
        yield server


@pytest.fixture(params=[SessionStoreKind.REDIS, SessionStoreKind.EXPRESS], ids=lambda kind: kind.value)
def app(request: pytest.FixtureRequest, small: Valkey, users_file: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr("nodes.sessions.admission.MEASURE_SECONDS", 0.01)
    settings = Settings(
        node_name="n",
        secrets=(SECRET,),
        users_file=users_file,
        anonymous_rate=0,
        store=request.param,
        redis_url=small.url,
        connect_timeout=5,
        read_timeout=5,
        deadline=10,
    )
    return create_app(settings)


def used_share(server: Valkey) -> float:
    with server.client() as client:
        return int(client.info("memory")["used_memory"]) / MEMORY


def add_to_cart(client: FlaskClient, number: int) -> TestResponse:
    return client.post("/cart", json={"item": f"{'x' * 60}{number}", "quantity": 1})


def test_a_flood_leaves_space_for_users(app: Flask, small: Valkey) -> None:
    user = log_in(app)
    statuses: list[int] = []
    while statuses.count(503) < 50:
        statuses.append(app.test_client().post("/visits", json={}).status_code)
    assert statuses.count(200) > 200
    assert 0.75 < used_share(small) < 0.88
    assert {add_to_cart(user, number).status_code for number in range(20)} == {200}
    answers = [app.test_client().post("/login", json={"user": "bob", "password": PASSWORD}) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 10


def test_anonymous_sessions_do_not_grow_in_a_crowded_store(app: Flask, small: Valkey) -> None:
    user, visitor = log_in(app), app.test_client()
    assert visitor.post("/visits", json={}).status_code == 200
    with small.client() as client:
        while used_share(small) < 0.94:  # connections may give 0.03 back
            client.rpush("filler", "x" * 1024)
    assert {add_to_cart(visitor, number).status_code for number in range(20)} == {503}
    assert visitor.get("/me").get_json()["visits"] == 1
    assert add_to_cart(user, 1).status_code == 200
    log_in(app)
