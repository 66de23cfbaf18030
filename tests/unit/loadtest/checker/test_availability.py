"""The figures of the prober, and the phases of a run."""

import pytest

from loadtest.checker import Window, check
from loadtest.checker.phases import MarkedPhases, Phases
from loadtest.history import Action, Event, Mark, OpOutcome, Probe
from tests.support.checker_script import Script


def probes(outcomes: str, target: str = "proxy", seconds: float = 0.01, late: float = 0.0) -> list[Probe]:
    """One probe every 50 ms from 100.0 on: "." is good, "x" refused, "?" without an answer, "s" good after 2 s."""
    kinds = {".": OpOutcome.OK, "x": OpOutcome.FAIL, "?": OpOutcome.UNKNOWN, "s": OpOutcome.OK}
    result = []
    for number, letter in enumerate(outcomes):
        started = 100 + number * 0.05
        took = 2.0 if letter == "s" else seconds
        result.append(
            Probe(target=target, started=started, ended=started + took, outcome=kinds[letter], late=late, status=200)
        )
    return result


def test_a_gap_reaches_from_the_first_failed_probe_to_the_next_good_one() -> None:
    seen = check(probes("....xx?x....x.")).availability["proxy"]
    assert [(round(one.begin, 3), round(one.end, 3)) for one in seen.errors] == [(100.2, 100.4), (100.6, 100.65)]
    assert seen.gap == pytest.approx(0.2)
    assert (seen.probes, seen.ok, seen.fail, seen.unknown, seen.interval) == (14, 9, 4, 1, 0.05)


def test_without_an_error_there_is_no_gap() -> None:
    findings = check(probes("." * 30))
    assert findings.gap == 0.0
    assert findings.availability["proxy"].errors == ()
    assert findings.availability["proxy"].slow is None


def test_an_open_gap_ends_with_the_last_probe() -> None:
    assert check(probes("..xxx", seconds=0.03)).gap == pytest.approx(0.13)


def test_the_longest_gap_of_all_targets_counts() -> None:
    both = check([*probes("..x...", "proxy"), *probes("..xxx.", "node-1")])
    assert both.gap == both.availability["node-1"].gap == pytest.approx(0.15)
    assert both.availability["proxy"].gap == pytest.approx(0.05)


def test_fast_probes_between_slow_ones_do_not_end_the_slow_window() -> None:
    """One of three nodes is silent: two of three probes are fast all the while."""
    seen = check(probes("...s..s..x....")).availability["proxy"]
    assert seen.slow == Window(pytest.approx(100.15), pytest.approx(102.3))  # type: ignore[arg-type]


def test_probes_may_come_in_any_order() -> None:
    assert check(list(reversed(probes("..xx..")))).gap == pytest.approx(0.1)


MARKS = [
    Mark(10, "before"),
    Mark(20, "during"),
    Mark(21, "fault"),
    Mark(29, "undo"),
    Mark(30, "after"),
    Mark(40, "end"),
]


def test_a_phase_lasts_from_its_mark_to_the_next() -> None:
    windows = Phases.from_marks(MARKS, end=99).windows()
    assert windows == {"before": [Window(10, 20)], "during": [Window(20, 30)], "after": [Window(30, 40)]}


def test_without_an_end_the_last_phase_lasts_as_long_as_the_history() -> None:
    assert Phases.from_marks(MARKS[:-1], end=55).windows()["after"] == [Window(30, 55)]


@pytest.mark.parametrize(
    ("started", "ended", "phase"),
    [
        (5, 6, None),
        (5, 12, "before"),
        (12, 13, "before"),
        (19, 21, "during"),
        (29, 31, "during"),  # what was in flight when the fault was undone
        (19, 31, "during"),
        (31, 32, "after"),
        (39, 40, "after"),
        (39, 41, None),
    ],
)
def test_an_operation_that_overlaps_the_fault_belongs_to_its_phase(
    started: float, ended: float, phase: str | None
) -> None:
    assert Phases.from_marks(MARKS, end=99).during(started, ended) == phase


def test_an_operation_that_overlaps_the_fault_may_end_after_the_run() -> None:
    phases = Phases.from_marks([Mark(10, "before"), Mark(20, "during"), Mark(30, "end")], end=99)
    assert phases.during(29, 31) == "during"
    assert phases.during(31, 32) is None


def test_each_phase_has_figures_of_its_own() -> None:
    script = Script().login(at=(11, 12)).visit(1, at=(13, 14), node="node-2")
    script.op(Action.LOOK, at=(22, 23), outcome=OpOutcome.UNKNOWN, error="status 502").look(user=None, at=(32, 33))
    marks: list[Event] = list(MARKS)
    phases = script.check(*marks).phases
    assert [figures.operations for figures in phases.values()] == [2, 1, 1]
    assert [figures.failed_gets for figures in phases.values()] == [0, 1, 0]
    assert [figures.logged_out for figures in phases.values()] == [0, 0, 1]
    assert [dict(figures.found) for figures in phases.values()] == [{}, {}, {"session lost": 1}]
    assert phases["before"].nodes == {"node-1": 1, "node-2": 1}
    assert (phases["before"].seconds, phases["before"].rate) == (10, 0.2)


def test_phases_of_a_long_run_are_counted_after_their_marks_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.checker.phases.MOST_MARKS", 100)
    phases = MarkedPhases()
    for number in range(300):
        at = number * 10.0
        for mark in (Mark(at, "kill a node"), Mark(at + 1, "fault"), Mark(at + 4, "undo"), Mark(at + 6, "quiet")):
            phases.add(mark)
    assert phases.seconds(3_000.0) == {"kill a node": 1_800.0, "quiet": 1_200.0}
    assert len(phases.phases.names) <= 100
    assert [phases.phases.at(at) for at in (0.0, 2_995.0, 2_999.0)] == [None, "kill a node", "quiet"]
