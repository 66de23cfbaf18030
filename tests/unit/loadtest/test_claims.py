"""What supports a claim, what breaks it, and what is too little to tell."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from loadtest.checker import Availability, Findings, Kind, PhaseFigures, Window, check
from loadtest.claims import (
    HOLDS,
    NO_FAILED_GET,
    NO_FAILED_REQUEST,
    Bounded,
    Claim,
    ClaimResult,
    FailuresEndWithin,
    FewFailedWrites,
    GapWithin,
    InPhase,
    LogoutsStay,
    LostAtMost,
    NothingLost,
    Observed,
    RecoversWithin,
    ServedBy,
    ShareOfRequests,
    ShareOfUsers,
    SiteFast,
    SlowWindow,
    SomethingLost,
    Times,
    Verdict,
    WritesRefused,
    evaluate,
    needed_requests,
    worst,
)
from loadtest.history import STOPPED, Action, End, Mark, Op, Outcome, Probe

COUNTS = {
    Kind.SESSION_LOST: "sessions_lost",
    Kind.UPDATE_LOST: "updates_lost",
    Kind.STALE_READ: "stale_reads",
    Kind.REVIVED: "revived",
    Kind.CROSSED: "crossed",
}
PLENTY: Mapping[str, object] = {
    "seconds": 10.0, "users": 30, "operations": 1000, "ok": 1000, "as_logged_in": 800,
    "nodes": {"node-1": 500, "node-2": 500},
}  # fmt: skip
EMPTY = check([End(0, 0)])
HALF, UP_TO_HALF, TWO_THIRDS, THIRD = (
    ShareOfRequests(1 / 2, "about half"),
    ShareOfRequests(1 / 2, "up to half", least=0.08),
    ShareOfRequests(2 / 3, "about two thirds"),
    ShareOfUsers(1 / 3, "about a third"),
)


def figures(**changes: object) -> PhaseFigures:
    return PhaseFigures(**{**PLENTY, **changes})  # type: ignore[arg-type]


def found(counts: Mapping[str, object] | None = None, **changes: object) -> Observed:
    """Planted figures of a whole run; `counts` are of the findings."""
    findings: Findings = msgspec.structs.replace(EMPTY, total=figures(**changes), **(counts or {}))
    return Observed(findings)


def verdict(claim: Claim, seen: Observed) -> Verdict:
    return claim.check(seen).verdict


@pytest.mark.parametrize("claim", [NothingLost(), NO_FAILED_REQUEST, NO_FAILED_GET, FewFailedWrites(), ServedBy(2)])
def test_clean_figures_support_that_nothing_is_lost_or_fails(claim: Claim) -> None:
    assert claim.check(found()) == HOLDS


@pytest.mark.parametrize("kind", Kind)
def test_one_loss_of_any_kind_breaks_that_nothing_is_lost(kind: Kind) -> None:
    lost = found({COUNTS[kind]: 1})
    assert NothingLost().check(lost) == ClaimResult(verdict=Verdict.BROKEN, reason=f"1 x {kind}; expected none")
    others = tuple(other for other in Kind if other is not kind)
    assert verdict(NothingLost(kinds=others), lost) is Verdict.HOLDS


def test_a_loss_is_a_fact_even_in_little_data() -> None:
    assert verdict(NothingLost(), found({"crossed": 1}, users=1, as_logged_in=3)) is Verdict.BROKEN


def test_a_claim_about_a_phase_looks_at_that_phase_alone() -> None:
    phases = {"during": figures(found={Kind.UPDATE_LOST: 1}, logged_out=533), "after": figures()}
    seen = Observed(msgspec.structs.replace(EMPTY, total=figures(), phases=phases))
    assert verdict(NothingLost(), seen.within("during")) is Verdict.BROKEN
    assert verdict(NothingLost(), seen.within("after")) is Verdict.HOLDS
    assert verdict(InPhase("during", TWO_THIRDS), seen) is Verdict.HOLDS
    assert verdict(InPhase("after", TWO_THIRDS), seen) is Verdict.BROKEN
    assert verdict(InPhase("never", TWO_THIRDS), seen) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize("claim", [NothingLost(), HALF, TWO_THIRDS, THIRD], ids=lambda claim: claim.text)
@pytest.mark.parametrize("little", [{"users": 5}, {"as_logged_in": 50}, {"users": 0, "as_logged_in": 0}])
def test_little_data_supports_no_claim(claim: Claim, little: dict[str, int]) -> None:
    planted: dict[str, Any] = dict(little)
    assert verdict(claim, found(**planted)) is Verdict.NOT_ENOUGH_DATA


def test_a_phase_takes_longer_until_its_claims_have_the_requests_they_need() -> None:
    assert needed_requests([NothingLost(), TWO_THIRDS, NO_FAILED_REQUEST]) == TWO_THIRDS.min_requests
    assert needed_requests([NO_FAILED_REQUEST]) == 0


def test_a_failed_request_breaks_that_none_fails_with_its_reason() -> None:
    failed = found(failed=1, failed_writes=1, failures={"POST /visits: status 502": 1})
    assert NO_FAILED_REQUEST.check(failed).reason == "failed: 1 x POST /visits: status 502"
    assert verdict(NO_FAILED_GET, failed) is Verdict.HOLDS
    assert verdict(NO_FAILED_GET, found(failed=1, failed_gets=1)) is Verdict.BROKEN
    assert verdict(NO_FAILED_REQUEST, found(operations=59)) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(("writes", "expected"), [(3, Verdict.HOLDS), (4, Verdict.BROKEN)])
def test_writes_in_flight_may_fail_for_a_tenth_of_the_users(writes: int, expected: Verdict) -> None:
    assert verdict(FewFailedWrites(), found(failed=writes, failed_writes=writes)) is expected


@pytest.mark.parametrize(
    ("claim", "percent", "expected"),
    [
        *((UP_TO_HALF, percent, Verdict.HOLDS) for percent in (50, 19)),
        *((UP_TO_HALF, percent, Verdict.BROKEN) for percent in (67, 7)),
        *((HALF, percent, Verdict.HOLDS) for percent in (50, 44)),
        *((HALF, percent, Verdict.BROKEN) for percent in (67, 33, 0)),
        (TWO_THIRDS, 67, Verdict.HOLDS),
        *((TWO_THIRDS, percent, Verdict.BROKEN) for percent in (50, 100, 0)),
    ],
)
@pytest.mark.parametrize("requests", [200, 2000])
def test_a_share_of_the_requests_is_within_its_tolerance(
    claim: Claim, percent: int, expected: Verdict, requests: int
) -> None:
    assert verdict(claim, found(as_logged_in=requests, logged_out=requests * percent // 100)) is expected


def test_a_half_and_its_neighbours_are_told_apart_with_the_least_data() -> None:
    for share in (1 / 3, 2 / 3):
        seen = found(as_logged_in=HALF.min_requests, logged_out=round(HALF.min_requests * share))
        assert verdict(HALF, seen) is Verdict.BROKEN


@pytest.mark.parametrize(
    ("out", "users", "expected"),
    [(10, 30, "holds"), (6, 30, "holds"), (0, 30, "broken"), (20, 30, "broken"), (0, THIRD.min_users, "broken")],
)
def test_a_share_of_the_users_is_within_its_tolerance(out: int, users: int, expected: str) -> None:
    assert verdict(THIRD, found(users=users, users_logged_out=out)) == expected


def test_a_node_that_never_answers_is_missed() -> None:
    assert verdict(ServedBy(3), found()) is Verdict.BROKEN


def probed(probes: int = 400, gap: float = 0.0, late: float = 0.0) -> dict[str, Availability]:
    availability = Availability(
        probes=probes, ok=probes, fail=0, unknown=0, interval=0.05, late=late,
        errors=(Window(0, gap),) if gap else (), slow=None, slow_after=1.0, p50=1.0, p99=2.0, slowest=3.0,
    )  # fmt: skip
    return {"site": availability}


@pytest.mark.parametrize(
    ("availability", "expected"),
    [
        (probed(gap=1.0), Verdict.HOLDS),
        (probed(gap=1.01), Verdict.BROKEN),
        (probed(probes=49), Verdict.NOT_ENOUGH_DATA),
        (probed(late=1.5), Verdict.NOT_ENOUGH_DATA),
        ({}, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_a_gap_is_judged_only_by_a_prober_that_could_see_it(
    availability: dict[str, Availability], expected: Verdict
) -> None:
    assert verdict(GapWithin(1.0), found({"availability": availability})) is expected


def test_the_worst_result_decides_and_gives_the_reasons() -> None:
    little, wrong, failed = (
        ClaimResult(verdict=Verdict.NOT_ENOUGH_DATA, reason="3 users"),
        ClaimResult(claim="steady", verdict=Verdict.BROKEN, reason="1 lost"),
        ClaimResult(verdict=Verdict.BROKEN, reason="2 failed"),
    )
    assert worst([]) == worst([HOLDS, HOLDS]) == HOLDS
    assert worst([HOLDS, little]) == little
    assert worst([wrong, little, failed]).reason == "steady: 1 lost; 2 failed"


def test_a_truncated_history_decides_nothing() -> None:
    truncated = Observed(msgspec.structs.replace(found({"sessions_lost": 1}).findings, complete=False))
    (result,) = evaluate([NothingLost(), NO_FAILED_REQUEST], truncated)
    assert (result.verdict, result.reason) == (
        Verdict.NOT_ENOUGH_DATA,
        "the history is truncated, after 1000 operations",
    )


TIMES = Times(fault=100.0, undo=110.0, undone=111.0)
MARKS = [Mark(90.0, "before"), Mark(100.0, "during"), Mark(111.0, "after"), Mark(120.0, "end")]


def op(at: float, seconds: float = 0.01, action: Action = Action.VISIT, error: str = "", **shown: Any) -> Op:
    return Op(
        who="visitor-1", account="alice", session="visitor-1#1", action=action,
        outcome=Outcome.OK if not error else Outcome.UNKNOWN, method="GET" if action is Action.LOOK else "POST",
        path="/", status=503 if error else 200, error=error, started=at, ended=at + seconds, **shown,
    )  # fmt: skip


def failed(at: float, action: Action = Action.VISIT, error: str = "status 503") -> Op:
    return op(at, action=action, error=error)


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (probes(slow=(100, 102.5), took=5.0), Verdict.HOLDS),
        (probes(slow=(100, 103.5)), Verdict.BROKEN),
        ([*probes(slow=(100, 102)), probe(107.0, 2.0), probe(114.0, 2.0)], Verdict.HOLDS),
    ],
    ids=["by when they were sent", "too long", "nginx looks whether the node is back"],
)
def test_slow_windows_are_measured_by_when_probes_were_sent(given: list[Probe], expected: Verdict) -> None:
    assert verdict(SlowWindow(3.0), seen(probed=given)) is expected


@pytest.mark.parametrize("claim", [SlowWindow(3.0), RecoversWithin(1.0), SiteFast(0.5)], ids=lambda one: one.text)
def test_few_probes_support_no_claim(claim: Claim) -> None:
    assert verdict(claim, seen(probed=probes(105, 106))) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(("at", "expected"), [(111.3, Verdict.HOLDS), (112.0, Verdict.BROKEN)])
def test_a_probe_that_fails_too_long_after_the_undo_breaks_the_recovery(at: float, expected: Verdict) -> None:
    assert verdict(RecoversWithin(0.5), seen(probed=[*probes(), probe(at, ok=False)])) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (probes(), Verdict.HOLDS),
        (probes(slow=(101, 104)), Verdict.BROKEN),
        ([*probes(), probe(105.0, 9.0, target="session")], Verdict.HOLDS),
        ([*probes(), probe(105.0, ok=False)], Verdict.BROKEN),
    ],
    ids=["fast", "slow", "the session is slow", "one fails"],
)
def test_only_probes_of_the_site_tell_whether_it_is_fast(given: list[Probe], expected: Verdict) -> None:
    assert verdict(SiteFast(0.5), seen(probed=given)) is expected


def test_only_requests_made_during_the_fault_must_be_answered_in_time() -> None:
    asked = [op(100 + number / 10, 0.5) for number in range(30)]
    assert verdict(Bounded(2.0), seen([*asked, op(95.0, 4.0)])) is Verdict.HOLDS
    assert verdict(Bounded(2.0), seen([*asked, op(105.0, 2.1)])) is Verdict.BROKEN
    assert verdict(Bounded(2.0), seen(asked[:5])) is Verdict.NOT_ENOUGH_DATA


def test_failures_must_end_in_time_and_there_must_be_some() -> None:
    claim = FailuresEndWithin(3.0)
    assert verdict(claim, seen([op(95), failed(101), failed(102.9)])) is Verdict.HOLDS
    assert verdict(claim, seen([failed(101), failed(103.1)])) is Verdict.BROKEN
    assert verdict(claim, seen([op(101)])) is Verdict.NOT_ENOUGH_DATA
    assert verdict(claim, seen([failed(101), failed(119.9, error=STOPPED)])) is Verdict.HOLDS, "the end of the load"


def test_a_write_must_be_refused_during_the_fault() -> None:
    assert verdict(WritesRefused(), seen([failed(101), op(102)])) is Verdict.HOLDS
    assert verdict(WritesRefused(), seen([op(101), failed(101, Action.LOOK)])) is Verdict.BROKEN


def lost_session(writes_before: int) -> Observed:
    writes = [op(99.1 + number / 10) for number in range(writes_before)]
    return seen([op(91.0, action=Action.LOGIN), *writes, op(105.0, action=Action.LOOK, user=None)])


def test_no_more_may_be_lost_than_was_written_in_the_last_second() -> None:
    assert verdict(LostAtMost(1.0), lost_session(writes_before=3)) is Verdict.HOLDS
    assert verdict(LostAtMost(1.0), lost_session(writes_before=0)) is Verdict.BROKEN
    assert verdict(LostAtMost(1.0), seen([op(91.0)])) is Verdict.NOT_ENOUGH_DATA


def test_an_expected_loss_must_happen() -> None:
    assert verdict(SomethingLost(), lost_session(0)) is Verdict.HOLDS
    assert verdict(SomethingLost(), seen([op(91.0)])) is Verdict.BROKEN


def test_a_race_of_logouts_needs_enough_of_them() -> None:
    logouts = [op(100 + number, action=Action.LOGOUT) for number in range(10)]
    assert verdict(LogoutsStay(), seen(logouts)) is Verdict.HOLDS
    assert verdict(LogoutsStay(), seen(logouts[:9])) is Verdict.NOT_ENOUGH_DATA
