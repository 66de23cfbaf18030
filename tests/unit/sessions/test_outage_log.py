"""The reason of an outage is in the log, once in a while, and in no response."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, session
from flask.typing import ResponseReturnValue

from nodes.sessions import FileStore, MemoryStore, RedisStore, SqlStore, Store, StoreUnavailable, hooks
from nodes.sessions.outage_log import MOST, PAUSE, OutageLog
from tests.support.browser import application


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "outage_log", OutageLog())


def served(store: Store) -> Flask:
    app = application(store)

    @app.get("/read")
    def read() -> str:
        return str(session.get("a"))

    @app.get("/write")
    def write() -> str:
        session["a"] = 1
        return "written"

    return app


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: SqlStore.from_url(f"sqlite:///{folder}/x.db"), "the table `sessions` is missing; call"),
        (lambda folder: RedisStore.from_url("redis://:a-password@127.0.0.1:1"), "Redis: Error 111 connecting to"),
        (lambda folder: FileStore(Path("/etc/passwd")), "the folder /etc/passwd: "),
    ],
    ids=["sql without a table", "redis out of reach", "a file for a folder"],
)
def test_the_reason_of_an_outage_is_one_line_of_the_log(
    make: Callable[[Path], Store], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = served(make(tmp_path)).test_client()
    answers = [client.get("/write") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503] * 3
    (line,) = lines(caplog)
    assert line.startswith("a session could not be used: ")
    assert reason in line
    assert "a-password" not in line
    assert reason not in answers[0].text


def test_a_full_store_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = served(MemoryStore(max_sessions=1))
    assert [app.test_client().get("/write").status_code for _ in range(3)] == [200, 503, 503]
    assert set(lines(caplog)) <= {
        "a session could not be used: the memory store is full: it holds 1 sessions",
        "a session could not be used: the session store is nearly full, and the rest is for users who log in",
    }
    assert len(lines(caplog)) == len(set(lines(caplog))) > 0


def test_the_reason_is_logged_too_where_an_application_has_its_own_handler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = served(SqlStore.from_url(f"sqlite:///{tmp_path}/x.db"))

    @app.errorhandler(StoreUnavailable)
    def sorry(_: StoreUnavailable) -> ResponseReturnValue:
        return "sorry", 503

    client = app.test_client()
    assert [client.get(path).text for path in ("/write", "/write")] == ["sorry", "sorry"]
    assert len(lines(caplog)) == 1


def test_a_reason_is_logged_again_after_a_pause_and_many_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = OutageLog(lambda: now)
    for _ in range(2):
        for number in range(3 * MOST):
            log.report(StoreUnavailable(f"session {number}"))
    assert len(lines(caplog)) == MOST
    now = PAUSE
    log.report(StoreUnavailable("session 0"))
    assert len(lines(caplog)) == MOST + 1
