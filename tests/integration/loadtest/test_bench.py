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

    def __init__(self, port: int, is_node: bool) -> None:
        super().__init__(Application("fake", "the fake", "flask-alone", is_node=is_node), port, worker=0)

    def cpu_seconds(self) -> float:
        return 0.0


@contextmanager
def serving(
    answers: dict[str, tuple[int, dict[str, str]]], body: bytes = b"ok", is_node: bool = False
) -> Iterator[Fake]:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        return (*answers.get(path, (404, {})), body)

    with http_server(answer) as url:
        yield Fake(int(url.rpartition(":")[2]), is_node)


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


@pytest.mark.parametrize("body", [b'{"visits":0}', b'{"visits": 12, "user": null}', b'{"user": 1}'])
def test_a_node_that_has_not_seen_the_session_is_not_measured(body: bytes) -> None:
    answers = {"/visits": (200, COOKIE), "/me": (200, {})}
    with serving(answers, b'{"visits": 1, "user": null}', is_node=True) as fake:
        samples = Samples()
        measure(fake, Use.READ, start_session(fake), 8, 4, samples)
        assert len(samples.rate) == 1
    with serving(answers, body, is_node=True) as fake, pytest.raises(BenchError, match="did not see the session"):
        measure(fake, Use.READ, "session=x", 8, 4, Samples())


def test_an_application_that_fails_is_not_measured() -> None:
    with serving({"/read": (500, SEEN)}) as fake, pytest.raises(BenchError, match="500"):
        measure(fake, Use.READ, "session=x", 8, 4, Samples())
    with serving({}) as fake, pytest.raises(ConnectionError, match="404"):
        load(fake.port, request_for("/read"), 8, 4, "X-Seen: 0 ")
