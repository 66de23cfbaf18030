"""A history in steps: every request is in exactly one, at the time that it ended."""

import math

from loadtest.history import Event, Header, OpOutcome, Probe
from loadtest.report.plots import make_timeline
from tests.support.report_results import BEGAN, look


def shown(*events: Event, end: float = 10.0, zero: float = 4.0):  # type: ignore[no-untyped-def]
    return make_timeline(events, BEGAN, BEGAN + end, BEGAN + zero)


def test_rates_are_per_second_and_times_count_from_the_fault() -> None:
    seen = shown(*(look(tenth / 10 + 0.05, "node-1") for tenth in range(100)))
    assert seen.step == 0.2
    assert seen.times[0] == -4.0
    assert seen.outcomes[OpOutcome.OK] == (10.0,) * 50
    assert seen.nodes == {"node-1": (10.0,) * 50}
    assert sum(seen.outcomes[OpOutcome.FAIL]) == sum(seen.outcomes[OpOutcome.UNKNOWN]) == 0


def test_a_timeline_tells_outcomes_and_nodes_apart() -> None:
    seen = shown(
        look(1, "node-2"), look(1, outcome=OpOutcome.FAIL), look(9, outcome=OpOutcome.UNKNOWN), look(9, "node-1")
    )
    assert {outcome: sum(rates) * seen.step for outcome, rates in seen.outcomes.items()} == {
        OpOutcome.OK: 2,
        OpOutcome.FAIL: 1,
        OpOutcome.UNKNOWN: 1,
    }
    assert list(seen.nodes) == ["node-1", "node-2"]


def test_latencies_are_those_of_operations_that_ended_in_the_step() -> None:
    seen = shown(*(look(0.1, took=took / 1000) for took in (1, 2, 3, 100)))
    assert (round(seen.p50[0]), round(seen.p99[0])) == (2, 100)
    assert math.isnan(seen.p50[1])


def test_a_long_run_has_longer_steps_and_events_outside_are_left_out() -> None:
    seen = shown(Header(version=1, title="", started=BEGAN), look(-0.1), look(600.1), look(300), end=600)
    assert seen.step == 10
    assert sum(seen.outcomes[OpOutcome.OK]) * seen.step == 1


def test_a_timeline_has_each_probe() -> None:
    probe = Probe(target="session", started=BEGAN + 5, ended=BEGAN + 5.02, outcome=OpOutcome.FAIL)
    ((at, took, good),) = shown(probe).probes
    assert (round(at, 3), round(took), good) == (1.0, 20, False)
