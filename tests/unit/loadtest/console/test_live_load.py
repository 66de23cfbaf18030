"""The figures of the last minute: which node an attempt counts for, and in which second."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from loadtest.checker import Checker
from loadtest.console.live_load import SECONDS_KEPT, SECONDS_OF_NODES, Recent, Second
from loadtest.history import Action, Op, OpOutcome

NOW = 1_000_000.0
FIRST, SECOND = "127.0.0.1:9001", "127.0.0.1:9002"


@dataclass
class Minute:
    """Adds operations that ended some seconds before NOW."""

    recent: Recent = field(default_factory=Recent)

    def add(self, upstream: str, statuses: str, *, ago: float = 1.5, took: float = 0.01, **more: Any) -> None:
        good = statuses.endswith("200")
        op = Op(
            who="user-1",
            account="alice",
            session="1",
            action=Action.LOOK,
            outcome=OpOutcome.OK if good else OpOutcome.FAIL,
            method="GET",
            path="/me",
            status=int(statuses[-3:]) if statuses[-3:].isdecimal() else 0,
            error="" if good else "status",
            upstream=upstream,
            upstream_status=statuses,
            started=NOW - ago - took,
            ended=NOW - ago,
            **more,
        )
        self.recent.add(op)

    def node(self, address: str) -> tuple[float, float]:
        """Return the good and the failed attempts."""
        figures = self.recent.nodes(NOW)[address]
        return figures.rate * SECONDS_OF_NODES, figures.failed * SECONDS_OF_NODES


@pytest.fixture
def minute() -> Minute:
    return Minute()


def test_a_retried_request_counts_against_the_node_that_did_not_answer(minute: Minute) -> None:
    minute.add(f"{FIRST}, {SECOND}", "502, 200")
    assert minute.node(FIRST) == (0, 1)
    assert minute.node(SECOND) == (1, 0)


@pytest.mark.parametrize("status", ["503", "504", "502", "-"])
def test_a_node_that_answers_with_an_error_or_not_at_all_has_failed(minute: Minute, status: str) -> None:
    minute.add(FIRST, status)
    assert minute.node(FIRST) == (0, 1)


def test_a_request_that_reached_no_node_counts_for_the_site_alone(minute: Minute) -> None:
    minute.add("", "")
    assert minute.recent.nodes(NOW) == {}
    assert minute.recent.figures(NOW, 10).failed == 1


def test_nodes_have_the_figures_of_the_last_seconds_and_no_older_ones(minute: Minute) -> None:
    minute.add(FIRST, "200", took=0.02)
    minute.add(FIRST, "200", took=0.02)
    minute.add(FIRST, "503", ago=SECONDS_OF_NODES + 1.5)
    assert minute.node(FIRST) == (2, 0)
    assert minute.recent.nodes(NOW)[FIRST].p50 == pytest.approx(20, abs=0.5)


def test_a_second_has_its_good_failed_and_logged_out_answers(minute: Minute) -> None:
    for _ in range(5):
        minute.add(FIRST, "200", ago=2.5)
    minute.add(FIRST, "503", ago=2.5)
    minute.recent.take_logged_out({int(NOW - 2.5): 2}, NOW - 1)
    begin = int(NOW) - 4
    assert minute.recent.series(begin, int(NOW)) == [
        Second(0, 0, 0),
        Second(3, 1, 2),
        Second(0, 0, 0),
        Second(0, 0, 0),
    ]


def test_whom_the_checker_has_not_seen_yet_is_not_known_to_be_logged_out(minute: Minute) -> None:
    for ago in (3.5, 2.5):
        minute.add(FIRST, "200", ago=ago)
    minute.recent.take_logged_out({int(NOW - 3.5): 1, int(NOW - 2.5): 1}, NOW - 2.5)
    begin = int(NOW) - 4
    assert minute.recent.series(begin, begin + 2) == [Second(0, 0, 1), Second(1, 0, 0)]
    assert minute.recent.checked_until == begin + 1


def test_each_second_has_its_users_logged_out_even_if_the_checker_is_rarely_asked(minute: Minute) -> None:
    """Of each three answers two are to a user whose session another node has."""
    checker = Checker()
    for second in range(20):
        for number in range(30):
            ended = NOW - 30 + second + number / 40
            login = number == second == 0
            name = "alice" if login or number % 3 == 0 else None
            op = Op(
                who="user-1",
                account="alice",
                session="1",
                action=Action.LOGIN if login else Action.LOOK,
                outcome=OpOutcome.OK,
                user=name,
                method="GET",
                path="/me",
                status=200,
                started=ended - 0.001,
                ended=ended,
            )
            checker.feed(op)
            minute.recent.add(op)
    checker.findings()
    minute.recent.take_logged_out(checker.logged_out_at, NOW - 2)
    seconds = minute.recent.series(int(NOW) - 30, int(NOW) - 10)
    assert seconds == [Second(10, 0, 20)] * 20


def test_what_is_older_than_the_chart_is_forgotten(minute: Minute) -> None:
    minute.add(FIRST, "200", ago=SECONDS_KEPT + 2)
    minute.recent.forget(NOW - SECONDS_KEPT)
    assert minute.recent.figures(NOW, SECONDS_KEPT + 10).operations == 0
