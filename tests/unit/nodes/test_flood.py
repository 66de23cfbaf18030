"""A flood of anonymous sessions at a node: refused, while users log in and work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from nodes import Settings, create_app, sessions
from nodes.sessions import MemoryStore
from tests.support.node import PASSWORD
from tests.support.node_app import HTML, attempt_login, log_in, samples_in, token_of

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def visit(client: FlaskClient, address: str = HERE) -> TestResponse:
    return client.post("/visits", json={}, environ_base={"REMOTE_ADDR": address})


def flood(app: Flask, count: int) -> list[int]:
    return [visit(app.test_client()).status_code for _ in range(count)]


@pytest.fixture
def limited(settings: Settings) -> Flask:
    """A node that admits one new session a second for each address, five at once."""
    return create_app(replace(settings, anonymous_rate=1))


@pytest.fixture
def small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """A node with space for twenty sessions: sixteen and one make it nearly full, eighteen and one crowded."""
    monkeypatch.setattr(sessions, "MemoryStore", lambda: MemoryStore(max_sessions=20))
    monkeypatch.setattr("nodes.sessions.admission.MEASURE_SECONDS", 0.0)
    return create_app(replace(settings, anonymous_rate=0))


def test_an_address_is_limited_and_nothing_else_is(limited: Flask) -> None:
    early = limited.test_client()
    assert visit(early).status_code == 200
    assert flood(limited, 7) == [200] * 4 + [429] * 3
    assert visit(early).get_json() == {"visits": 2}
    assert visit(limited.test_client(), ELSEWHERE).status_code == 200
    assert limited.test_client().get("/me", environ_base={"REMOTE_ADDR": HERE}).status_code == 200
    user = limited.test_client()
    assert attempt_login(user, password=PASSWORD, address=HERE).status_code == 200
    assert visit(user).get_json() == {"visits": 1}


def test_a_refused_visitor_is_told_when_to_come_back_and_gets_no_cookie(limited: Flask) -> None:
    flood(limited, 5)
    client = limited.test_client()
    refused = visit(client)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert "Set-Cookie" not in refused.headers
    assert "not saved" in refused.get_json()["error"]
    form = {"csrf_token": token_of(client)}
    page = client.post("/visits", data=form, headers=HTML, environ_base={"REMOTE_ADDR": HERE})
    assert page.status_code == 429
    assert "log in" in page.text


def test_a_cookie_that_is_not_genuine_does_not_evade_the_limit(limited: Flask) -> None:
    flood(limited, 5)
    client = limited.test_client()
    client.set_cookie("session", f"{'A' * 43}.{'B' * 43}")
    assert visit(client).status_code == 429


def test_a_forged_header_does_not_evade_the_limit(limited: Flask) -> None:
    statuses = [
        limited.test_client()
        .post("/visits", json={}, headers={"X-Forwarded-For": f"198.51.100.{number}, {HERE}"})
        .status_code
        for number in range(7)
    ]
    assert statuses == [200] * 5 + [429] * 2


def test_a_store_that_is_nearly_full_is_left_to_users(small: Flask) -> None:
    early = small.test_client()
    assert visit(early).status_code == 200
    assert flood(small, 20) == [200] * 16 + [503] * 4
    refused = visit(small.test_client())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "Set-Cookie" not in refused.headers
    assert visit(early).get_json() == {"visits": 2}  # who has a session goes on
    users = [log_in(small) for _ in range(3)]
    assert visit(early).status_code == 503  # until the store is crowded
    assert [visit(user).status_code for user in users] == [200] * 3
    assert small.test_client().get("/me").status_code == 200
    assert early.get("/me").get_json()["visits"] == 2
    assert early.post("/login", json={"user": "bob", "password": PASSWORD}).status_code == 503  # full at last


def test_what_is_written_without_a_read_is_refused_too(small: Flask) -> None:
    @small.post("/blind")
    def blind() -> str:
        session["blind"] = 1
        return ""

    anonymous, user = small.test_client(), log_in(small)
    visit(anonymous)
    flood(small, 20)
    log_in(small), log_in(small)
    assert [client.post("/blind", json={}).status_code for client in (anonymous, user)] == [503, 200]


def test_with_a_session_for_every_visitor_pages_go_on_without(settings: Settings) -> None:
    app = create_app(replace(settings, anonymous_rate=1, save_uninitialized=True))
    answers = [app.test_client().get("/me", environ_base={"REMOTE_ADDR": HERE}) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 7
    assert ["Set-Cookie" in answer.headers for answer in answers] == [True] * 5 + [False] * 2


def test_refused_sessions_are_counted(limited: Flask) -> None:
    flood(limited, 8)
    samples: dict[str, Any] = samples_in(limited.test_client().get("/metrics").text)
    assert samples["node_session_events_total{created}"] == 5
    assert samples["node_session_events_total{refused}"] == 3
