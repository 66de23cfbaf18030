"""Which late requests a node refuses."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.load_shedding import CAUGHT_UP, LATE, PATIENCE, LoadShedder


class Worker:
    """A worker whose requests take 0.1 s each, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self._guard = LoadShedder(self._work, lambda: self.now)
        self._status = ""

    def _work(self, _environ: Any, start_response: Any) -> list[bytes]:
        self.now += 0.1
        start_response("200 OK", [])
        return [b""]

    def serve(self, arrived: float) -> bool:
        """Take a request that arrived then; return whether it was served."""
        environ: Any = {"gunicorn.socket": Connection(self.now - arrived), "PATH_INFO": "/"}
        start_response: Any = lambda status, _headers: setattr(self, "_status", status)  # noqa: E731
        self._guard(environ, start_response)
        return self._status == "200 OK"


class Connection:
    def __init__(self, waited: float) -> None:
        self._waited = waited

    def getsockopt(self, _level: int, _name: int, size: int) -> bytes:
        return bytes(size - 4) + round(self._waited * 1000).to_bytes(4, "little")


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_worker_that_is_behind_serves_late_requests_for_a_while_and_then_refuses_them(worker: Worker) -> None:
    start = worker.now
    served = [worker.serve(start) for _ in range(60)]
    refused_from = round((LATE + PATIENCE) * 10) + 1
    assert served.index(False) in {refused_from, refused_from + 1, refused_from + 2}
    assert not any(served[served.index(False) :])


def test_a_request_in_time_is_served_and_does_not_end_the_refusals(worker: Worker) -> None:
    start = worker.now
    while worker.serve(start):
        pass
    assert worker.serve(worker.now - LATE)
    assert not worker.serve(start)


def test_a_time_without_late_requests_ends_the_refusals(worker: Worker) -> None:
    start = worker.now
    while worker.serve(start):
        pass
    while worker.now < start + CAUGHT_UP + LATE + PATIENCE + 0.5:
        assert worker.serve(worker.now)
    assert worker.serve(worker.now - LATE - 0.1)


def test_a_worker_that_stood_still_serves_late_requests(worker: Worker) -> None:
    assert worker.serve(worker.now - 1)  # late, as the first one of a new worker is
    worker.now += PATIENCE + 0.5
    assert [worker.serve(worker.now - PATIENCE) for _ in range(5)] == [True] * 5
