"""Requests that a busy worker reaches too late are refused before any work is done for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gevent
import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

from nodes.load_shedding import LoadShedder, LoopTurn


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Application:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.paths.append(environ["PATH_INFO"])
        return Response("done")(environ, start_response)


def send(waited: float, path: str = "/me", method: str = "GET", **headers: str) -> tuple[Response, list[str]]:
    application = Application()
    client = Client(LoadShedder(application, lambda: waited, limit=0.5), Response)
    return client.open(path, method=method, headers=headers), application.paths


def test_a_request_that_is_reached_in_time_is_served() -> None:
    answer, done = send(waited=0.5)
    assert (answer.status_code, done) == (200, ["/me"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_is_reached_late_is_refused_with_nothing_done(method: str) -> None:
    answer, done = send(waited=0.51, method=method, Accept="application/json")
    assert (answer.status_code, answer.headers["Retry-After"], done) == (503, "1", [])
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json is not None
    assert "Nothing was done" in answer.json["error"]


def test_a_browser_gets_the_refusal_as_text() -> None:
    answer, _ = send(waited=1.0, Accept="text/html,*/*;q=0.8")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert b"Nothing was done" in answer.data


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics"])
def test_operators_are_answered_however_late(path: str) -> None:
    assert send(waited=10.0, path=path)[1] == [path]


def test_a_turn_takes_as_long_as_all_that_runs_in_it_before() -> None:
    clock = Clock()
    turn = LoopTurn(clock)
    gevent.sleep(0.001)
    seen: list[float] = []

    def work() -> None:
        seen.append(turn.seconds())
        clock.seconds += 1.0

    gevent.joinall([gevent.spawn(work) for _ in range(3)])
    assert seen == [0.0, 1.0, 2.0]
    gevent.sleep(0.001)
    assert turn.seconds() == 0.0
