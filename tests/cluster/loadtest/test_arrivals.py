"""Requests that arrive on schedule: real Locust, on a server whose faults are known."""

from pathlib import Path

import pytest

from loadtest.checker import Kind
from loadtest.history import Op
from loadtest.load_profile import Arrivals, Comers
from tests.cluster.loadtest.test_generator_on_stand_ins import Load, load
from tests.support.stand_in import StandIn, serving


def arrived(running: Load) -> list[Op]:
    return [op for op in running.ops if op.who.startswith("arrival-")]


def most_in_flight(ops: list[Op]) -> int:
    changes = sorted([(op.started, 1) for op in ops] + [(op.ended, -1) for op in ops])
    return max(sum(change for _, change in changes[:position]) for position in range(len(changes) + 1))


def test_arrivals_start_on_schedule_while_no_earlier_one_was_answered(tmp_path: Path) -> None:
    with serving(behaviour := StandIn(delay=2.0)) as url, load(tmp_path, url, users=1) as running:
        running.generator.set_arrivals(Arrivals(rate=100, kind=Comers.NEWCOMERS))
        running.wait_for(lambda: behaviour.requests > 50, "50 requests")
        assert arrived(running) == []
        running.wait_for(lambda: len(arrived(running)) > 50, "their answers")
        running.generator.stop()
    assert most_in_flight(arrived(running)) > 50
    assert {op.path for op in arrived(running)} == {"/visits"}
    assert running.findings().examples == {}


def test_a_lost_session_of_a_member_is_found(tmp_path: Path) -> None:
    with serving(StandIn(memories=2)) as url, load(tmp_path, url, users=1) as running:
        running.generator.set_arrivals(Arrivals(rate=200))
        running.wait_for(lambda: len(arrived(running)) > 200, "200 requests")
        running.generator.stop()
    assert {op.path for op in arrived(running)} >= {"/me", "/visits", "/account", "/cart"}
    assert Kind.SESSION_LOST in running.findings().examples


def test_a_closed_loop_keeps_as_many_in_flight_as_wanted(tmp_path: Path) -> None:
    with serving(StandIn(delay=0.02)) as url, load(tmp_path, url, users=1) as running:
        running.generator.set_arrivals(Arrivals(in_flight=4))
        running.wait_for(lambda: len(arrived(running)) > 100, "100 requests")
        running.generator.set_arrivals(Arrivals())
        running.generator.stop()
    assert most_in_flight(arrived(running)) == 4
    assert running.findings().examples == {}


@pytest.mark.nightly
def test_arrivals_are_shared_by_several_processes(tmp_path: Path) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, users=2, processes=2) as running:
        running.generator.set_arrivals(Arrivals(rate=100, kind=Comers.NEWCOMERS))
        running.wait_for(lambda: running.users == 2, "the users")
        running.wait_for(lambda: {op.who.split("-")[1] for op in arrived(running)} == {"1", "2"}, "both")
        running.generator.stop()
    assert running.findings().examples == {}
