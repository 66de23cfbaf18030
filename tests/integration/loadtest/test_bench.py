"""The bench refuses to measure an application that does not do what it is measured for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from loadtest.bench.apps import TEXTS
from loadtest.bench.client import load, request_for
from loadtest.bench.measure import Samples, Use, counter, measure, start_session
from loadtest.bench.servers import Application, BenchError, Running
from tests.support.servers import http_server


class Fake(Running):
    """An application of the test's own, in this process."""

    def __init__(self, port: int) -> None:
        super().__init__(Application("fake", "the fake", "flask-alone"), port, worker=0)

    def cpu_seconds(self) -> float:
        return 0.0


@contextmanager
def serving(answers: dict[str, tuple[int, dict[str, str]]]) -> Iterator[Fake]:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        return (*answers.get(path, (404, {})), b"ok")

    with http_server(answer) as url:
        yield Fake(int(url.rpartition(":")[2]))


SEEN = {"X-Seen": f"{sum(map(len, TEXTS.values()))} 0"}
COOKIE = {"Set-Cookie": "session=x; Path=/"}


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({"/start": (200, {}), "/read": (200, SEEN)}, "set no cookie"),
        ({"/start": (200, COOKIE), "/read": (200, {})}, "does not know its session"),
        ({"/start": (200, COOKIE), "/read": (200, {"X-Seen": "7 0"})}, "does not know its session"),
        ({"/start": (200, COOKIE), "/read": (200, {"X-Seen": f"{SEEN['X-Seen'][:-1]}5"})}, "did not keep"),
    ],
)
def test_a_session_that_is_not_kept_is_not_measured(answers: dict[str, Any], complaint: str) -> None:
    with serving(answers) as fake, pytest.raises(BenchError, match=complaint):
        start_session(fake)


def test_a_write_that_writes_nothing_is_not_measured() -> None:
    with serving({"/write": (200, {"X-Seen": "60 0"}), "/read": (200, SEEN)}) as fake:
        assert counter(fake, "session=x") == 0
        with pytest.raises(BenchError, match="did not write"):
            measure(fake, Use.WRITE, "session=x", 8, 4, Samples())


def test_an_answer_that_has_not_seen_the_session_is_not_measured() -> None:
    with (
        serving({"/read": (200, {"X-Seen": "0 0"})}) as fake,
        pytest.raises(BenchError, match="an answer that did not see the session"),
    ):
        measure(fake, Use.READ, "session=x", 8, 4, Samples())


def test_an_application_that_fails_is_not_measured() -> None:
    with serving({"/read": (500, SEEN)}) as fake, pytest.raises(BenchError, match="500"):
        measure(fake, Use.READ, "session=x", 8, 4, Samples())
    with serving({}) as fake, pytest.raises(ConnectionError, match="404"):
        load(fake.port, request_for("/read"), 8, 4, seen=0)
