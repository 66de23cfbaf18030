"""Claims that need more than the checker's findings, over histories of a few lines."""

import pytest

from loadtest.checker.check import check
from loadtest.claims import Claim, FewFailedWrites, LogoutsStay, LostAtMost, SomethingLost, WritesRefused
from loadtest.failover.observed import Observed, Times
from loadtest.failover.timed_claims import Bounded, FailuresEndWithin, RecoversWithin, SiteFast, SlowWindow
from loadtest.history import STOPPED, Mark, Op, Probe
from loadtest.ledger import Action, Outcome
from loadtest.verdict import Verdict

TIMES = Times(fault=100.0, undo=110.0, undone=111.0)
MARKS = [Mark(90.0, "before"), Mark(100.0, "during"), Mark(111.0, "after"), Mark(120.0, "end")]


def op(at: float, seconds: float = 0.01, action: Action = Action.VISIT, status: int = 200, error: str = "") -> Op:
    return Op(
        who="visitor-1",
        account="alice",
        session="visitor-1#1",
        action=action,
        outcome=Outcome.OK if not error else Outcome.UNKNOWN,
        method="GET" if action is Action.LOOK else "POST",
        path="/",
        status=status,
        error=error,
        started=at,
        ended=at + seconds,
    )


def failed(at: float, action: Action = Action.VISIT, error: str = "status 503") -> Op:
    return op(at, action=action, status=503, error=error)


def probe(at: float, seconds: float = 0.01, ok: bool = True, target: str = "site") -> Probe:
    return Probe(target=target, started=at, ended=at + seconds, outcome=Outcome.OK if ok else Outcome.FAIL)


def probes(
    begin: float = 90.0, end: float = 120.0, slow: tuple[float, float] = (0, 0), took: float = 1.0
) -> list[Probe]:
    times = [begin + 0.05 * number for number in range(int((end - begin) / 0.05))]
    return [probe(at, took if slow[0] <= at < slow[1] else 0.01) for at in times]


def seen(ops: list[Op] | None = None, probed: list[Probe] | None = None) -> Observed:
    ops, probed = ops or [], probed or []
    return Observed(check([*ops, *probed, *MARKS]), ops, probed, TIMES)


def verdict(claim: Claim, observed: Observed) -> Verdict:
    return claim.check(observed).verdict


def test_a_stretch_of_slow_answers_is_measured_by_when_they_were_asked_for() -> None:
    assert verdict(SlowWindow(3.0), seen(probed=probes(slow=(100, 102.5), took=5.0))) is Verdict.HOLDS
    assert verdict(SlowWindow(3.0), seen(probed=probes(slow=(100, 103.5)))) is Verdict.BROKEN


def test_a_single_look_whether_the_node_is_back_is_a_stretch_by_itself() -> None:
    again = [*probes(slow=(100, 102)), probe(107.0, 2.0), probe(114.0, 2.0)]
    assert verdict(SlowWindow(3.0), seen(probed=again)) is Verdict.HOLDS


@pytest.mark.parametrize("claim", [SlowWindow(3.0), RecoversWithin(1.0), SiteFast(0.5)], ids=lambda one: one.text)
def test_few_probes_are_no_pass(claim: Claim) -> None:
    assert verdict(claim, seen(probed=probes(105, 106))) is Verdict.NOT_ENOUGH_DATA


def test_what_fails_too_long_after_the_undo_is_no_recovery() -> None:
    assert verdict(RecoversWithin(0.5), seen(probed=[*probes(), probe(111.3, ok=False)])) is Verdict.HOLDS
    assert verdict(RecoversWithin(0.5), seen(probed=[*probes(), probe(112.0, ok=False)])) is Verdict.BROKEN


def test_the_site_is_fast_only_if_the_probes_of_the_site_are() -> None:
    assert verdict(SiteFast(0.5), seen(probed=probes())) is Verdict.HOLDS
    assert verdict(SiteFast(0.5), seen(probed=probes(slow=(101, 104)))) is Verdict.BROKEN
    assert verdict(SiteFast(0.5), seen(probed=[*probes(), probe(105.0, 9.0, target="session")])) is Verdict.HOLDS
    assert verdict(SiteFast(0.5), seen(probed=[*probes(), probe(105.0, ok=False)])) is Verdict.BROKEN


def test_every_answer_is_bounded_and_only_those_asked_for_during_the_fault_count() -> None:
    asked = [op(100 + number / 10, 0.5) for number in range(30)]
    assert verdict(Bounded(2.0), seen([*asked, op(95.0, 4.0)])) is Verdict.HOLDS
    assert verdict(Bounded(2.0), seen([*asked, op(105.0, 2.1)])) is Verdict.BROKEN
    assert verdict(Bounded(2.0), seen(asked[:5])) is Verdict.NOT_ENOUGH_DATA


def test_failures_must_end_and_there_must_have_been_some() -> None:
    assert verdict(FailuresEndWithin(3.0), seen([op(95), failed(101), failed(102.9)])) is Verdict.HOLDS
    assert verdict(FailuresEndWithin(3.0), seen([failed(101), failed(103.1)])) is Verdict.BROKEN
    assert verdict(FailuresEndWithin(3.0), seen([op(101)])) is Verdict.NOT_ENOUGH_DATA
    stopped = failed(119.9, error=STOPPED)
    assert verdict(FailuresEndWithin(3.0), seen([failed(101), stopped])) is Verdict.HOLDS, "the end is no failure"


def test_a_few_writes_may_fail_and_more_may_not() -> None:
    assert verdict(FewFailedWrites(), seen([op(99), failed(100.1)])) is Verdict.HOLDS
    assert verdict(FewFailedWrites(), seen([op(99), failed(100.1), failed(100.2)])) is Verdict.BROKEN


def test_writes_must_have_been_refused() -> None:
    assert verdict(WritesRefused(), seen([failed(101), op(102)])) is Verdict.HOLDS
    assert verdict(WritesRefused(), seen([op(101), failed(101, Action.LOOK)])) is Verdict.BROKEN


def lost_session(writes_before: int) -> Observed:
    login = op(91.0, action=Action.LOGIN)
    writes = [op(99.1 + number / 10) for number in range(writes_before)]
    anonymous = op(105.0, action=Action.LOOK)
    ops = [
        login,
        *writes,
        Op(**{name: getattr(anonymous, name) for name in anonymous.__struct_fields__} | {"user": None}),
    ]
    return seen(ops)


def test_as_much_may_be_lost_as_was_written_in_the_last_second() -> None:
    assert verdict(LostAtMost(1.0), lost_session(writes_before=3)) is Verdict.HOLDS
    assert verdict(LostAtMost(1.0), lost_session(writes_before=0)) is Verdict.BROKEN
    assert verdict(LostAtMost(1.0), seen([op(91.0)])) is Verdict.NOT_ENOUGH_DATA


def test_a_loss_that_is_expected_must_be_there() -> None:
    assert verdict(SomethingLost(), lost_session(0)) is Verdict.HOLDS
    assert verdict(SomethingLost(), seen([op(91.0)])) is Verdict.BROKEN


def test_there_must_have_been_enough_logouts_to_race_with() -> None:
    logouts = [op(100 + number, action=Action.LOGOUT) for number in range(10)]
    assert verdict(LogoutsStay(), seen(logouts)) is Verdict.HOLDS
    assert verdict(LogoutsStay(), seen(logouts[:9])) is Verdict.NOT_ENOUGH_DATA
