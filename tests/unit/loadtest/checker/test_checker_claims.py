"""Claims over findings: they hold, are broken, or there is not enough data."""

from collections.abc import Mapping

import msgspec
import pytest

from loadtest.checker import Availability, Findings, Kind, PhaseFigures, Window, check
from loadtest.checker.claims import (
    AtLeast,
    AtMost,
    Claim,
    FailedAtMost,
    GapWithin,
    LatencyWithin,
    NothingLost,
    OfPhase,
    ServedBy,
    SlowWithin,
    rule,
)
from loadtest.shares import ShareOfRequests
from loadtest.verdict import Ruling, Verdict
from tests.support.checker_script import Script

FIELDS = {
    Kind.SESSION_LOST: "sessions_lost",
    Kind.UPDATE_LOST: "updates_lost",
    Kind.STALE_READ: "stale_reads",
    Kind.REVIVED: "revived",
    Kind.CROSSED: "crossed",
}
Figures = Mapping[str, object]
PLENTY = {"seconds": 10.0, "users": 30, "operations": 1000, "ok": 1000, "as_logged_in": 800}


def findings(total: Figures | None = None, during: Figures | None = None, **of: object) -> Findings:
    base = Script().login().check()
    return msgspec.structs.replace(
        base,
        total=PhaseFigures(**{**PLENTY, **(total or {})}),  # type: ignore[arg-type]
        phases={"during": PhaseFigures(**{**PLENTY, **(during or {})})},  # type: ignore[arg-type]
        **of,
    )


def seen(probes: int = 400, gap: float = 0.0, late: float = 0.0, slow: float = 0.0) -> dict[str, Availability]:
    availability = Availability(
        probes=probes,
        ok=probes,
        fail=0,
        unknown=0,
        interval=0.05,
        late=late,
        errors=(Window(0, gap),) if gap else (),
        slow=Window(0, slow) if slow else None,
        slow_after=1.0,
        p50=1.0,
        p99=2.0,
        slowest=3.0,
    )
    return {"proxy": availability}


def verdict(claim: Claim, given: Findings) -> Verdict:
    return claim.check(given).verdict


@pytest.mark.parametrize("kind", Kind)
def test_one_of_any_kind_breaks_that_nothing_was_lost(kind: Kind) -> None:
    lost = findings(None, None, **{FIELDS[kind]: 1})
    assert NothingLost().check(lost) == Ruling(Verdict.BROKEN, f"1 x {kind}; expected none")
    others = tuple(other for other in Kind if other is not kind)
    assert verdict(NothingLost(others), lost) is Verdict.HOLDS


def test_that_nothing_was_lost_needs_answers_and_users() -> None:
    assert verdict(NothingLost(), findings()) is Verdict.HOLDS
    assert verdict(NothingLost(), findings({"as_logged_in": 59})) is Verdict.NOT_ENOUGH_DATA
    assert verdict(NothingLost(), findings({"users": 11})) is Verdict.NOT_ENOUGH_DATA
    assert verdict(NothingLost(min_users=2), findings({"users": 2})) is Verdict.HOLDS
    few = findings({"users": 1}, crossed=1)
    assert verdict(NothingLost(), few) is Verdict.BROKEN, "a loss is a fact"


def test_a_price_has_an_upper_and_a_lower_bound() -> None:
    lost = findings(updates_lost=5)
    assert verdict(AtMost(Kind.UPDATE_LOST, 5), lost) is Verdict.HOLDS
    assert verdict(AtMost(Kind.UPDATE_LOST, 4), lost) is Verdict.BROKEN
    assert verdict(AtLeast(Kind.UPDATE_LOST, 5), lost) is Verdict.HOLDS
    assert verdict(AtLeast(Kind.UPDATE_LOST, 6), lost) is Verdict.BROKEN
    assert verdict(AtMost(Kind.UPDATE_LOST, 5), findings({"as_logged_in": 1})) is Verdict.NOT_ENOUGH_DATA


def test_failed_requests_are_counted_in_a_phase_or_in_all() -> None:
    some = findings({"failed": 3, "failed_gets": 1, "failures": {"GET /me: status 502": 1}})
    assert verdict(FailedAtMost(3), some) is Verdict.HOLDS
    assert verdict(FailedAtMost(2), some) is Verdict.BROKEN
    assert verdict(FailedAtMost(0, gets=True), some) is Verdict.BROKEN
    assert verdict(FailedAtMost(0, phase="during"), some) is Verdict.HOLDS
    assert verdict(FailedAtMost(0, phase="after"), some) is Verdict.NOT_ENOUGH_DATA
    assert "1 x GET /me: status 502" in FailedAtMost(2).check(some).reason


def test_latency_needs_so_many_operations_that_a_percentile_means_something() -> None:
    assert verdict(LatencyWithin(100), findings({"p99": 100.0})) is Verdict.HOLDS
    assert verdict(LatencyWithin(100, "during"), findings(during={"p99": 101.0})) is Verdict.BROKEN
    assert verdict(LatencyWithin(100), findings({"operations": 199})) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(
    ("availability", "expected"),
    [
        (seen(gap=1.0), Verdict.HOLDS),
        (seen(gap=1.01), Verdict.BROKEN),
        (seen(probes=99), Verdict.NOT_ENOUGH_DATA),
        (seen(late=1.5), Verdict.NOT_ENOUGH_DATA),
        ({}, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_a_gap_is_judged_only_by_a_prober_that_could_see_it(
    availability: dict[str, Availability], expected: Verdict
) -> None:
    assert verdict(GapWithin(1.0), findings(availability=availability)) is expected


def test_the_slow_window_is_bounded_too() -> None:
    assert verdict(SlowWithin(3.0), findings(availability=seen(slow=2.9))) is Verdict.HOLDS
    assert verdict(SlowWithin(3.0), findings(availability=seen(slow=3.1))) is Verdict.BROKEN


def test_the_demos_shares_are_claims_about_a_phase() -> None:
    claim = OfPhase(ShareOfRequests(2 / 3, "about two thirds"), "during")
    assert verdict(claim, findings(during={"logged_out": 533})) is Verdict.HOLDS
    assert verdict(claim, findings(during={"logged_out": 10})) is Verdict.BROKEN
    assert verdict(OfPhase(claim.claim), findings(during={"logged_out": 533})) is Verdict.BROKEN


def test_scaling_out_is_seen_in_who_answered() -> None:
    three = findings({"nodes": {"node-1": 1, "node-2": 1, "node-3": 1}})
    assert verdict(ServedBy(3), three) is Verdict.HOLDS
    assert verdict(ServedBy(4), three) is Verdict.BROKEN


def test_the_worst_of_all_claims_decides() -> None:
    lost = findings(sessions_lost=1)
    assert rule(findings(), [NothingLost(), FailedAtMost()]) == Ruling(Verdict.HOLDS)
    assert rule(findings(), [NothingLost(), GapWithin(1.0)]).verdict is Verdict.NOT_ENOUGH_DATA
    assert rule(lost, [GapWithin(1.0), NothingLost()]).verdict is Verdict.BROKEN


def test_a_truncated_history_decides_nothing() -> None:
    truncated = check(Script().login().look(user=None).ops)
    assert truncated.sessions_lost == 1
    assert rule(truncated, [NothingLost()]) == Ruling(
        Verdict.NOT_ENOUGH_DATA, "the history is truncated, after 2 operations"
    )
