"""A history in steps: every request is in exactly one, at the time that it ended; and its picture."""

import math
from collections.abc import Sequence

import pytest

from loadtest.history import GAVE_UP, Event, Header, Op, OpOutcome, Probe
from loadtest.report.plots import BAD, NARROW, WIDE, Fate, Layout, Marks, Timeline, draw, make_timeline
from tests.support.report_results import BEGAN, look


def shown(*events: Event, end: float = 10.0, zero: float = 4.0, logged_out: Sequence[Op] = ()) -> Timeline:
    return make_timeline(events, BEGAN, BEGAN + end, BEGAN + zero, logged_out)


def test_rates_are_per_second_and_times_count_from_the_fault() -> None:
    seen = shown(*(look(tenth / 10 + 0.05, "node-1") for tenth in range(100)))
    assert seen.step == 0.2
    assert seen.times[0] == -4.0
    assert seen.fates[Fate.GOOD] == (10.0,) * 50
    assert seen.nodes == {"node-1": (10.0,) * 50}
    assert sum(sum(rates) for fate, rates in seen.fates.items() if fate is not Fate.GOOD) == 0


def test_a_timeline_tells_fates_and_nodes_apart() -> None:
    found_out = look(2, "node-1")
    seen = shown(
        look(1, "node-2"),
        look(1, outcome=OpOutcome.FAIL, error=""),
        look(9, outcome=OpOutcome.UNKNOWN),
        look(9, outcome=OpOutcome.UNKNOWN, error=GAVE_UP),
        look(9, "node-1"),
        found_out,
        logged_out=[found_out],
    )
    assert {fate: round(sum(rates) * seen.step) for fate, rates in seen.fates.items()} == {
        Fate.GOOD: 2,
        Fate.LOGGED_OUT: 1,
        Fate.REFUSED: 1,
        Fate.GIVEN_UP: 1,
        Fate.FAILED: 1,
    }
    assert list(seen.nodes) == ["node-1", "node-2"]


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_every_loss_has_a_mark_and_lost_answers_have_a_colour_of_their_own(layout: Layout) -> None:
    found_out = [look(second / 10, "node-1") for second in range(1, 40)]
    healthy = draw(shown(*found_out), Marks(losses={"logged out": []}), layout)
    lost = Marks(losses={"logged out": [one / 10 for one in range(39)]})
    broken = draw(shown(*found_out, logged_out=found_out), lost, layout)
    strokes, bodies = f"stroke: {BAD}", [drawn.partition("</style>")[2] for drawn in (healthy, broken)]
    assert [healthy.count(strokes), broken.count(strokes)] == [1, 39 + 1], "one is the rule for a dark page"
    assert [f"fill: {BAD}" in body for body in bodies] == [False, True]


def test_latencies_are_those_of_operations_that_ended_in_the_step() -> None:
    seen = shown(*(look(0.1, took=took / 1000) for took in (1, 2, 3, 100)))
    assert (round(seen.p50[0]), round(seen.p99[0])) == (2, 100)
    assert math.isnan(seen.p50[1])


def test_a_long_run_has_longer_steps_and_events_outside_are_left_out() -> None:
    seen = shown(Header(version=1, title="", started=BEGAN), look(-0.1), look(600.1), look(300), end=600)
    assert seen.step == 10
    assert sum(seen.fates[Fate.GOOD]) * seen.step == 1


def test_a_timeline_has_each_probe() -> None:
    probe = Probe(target="session", started=BEGAN + 5, ended=BEGAN + 5.02, outcome=OpOutcome.FAIL)
    ((at, took, good),) = shown(probe).probes
    assert (round(at, 3), round(took), good) == (1.0, 20, False)
