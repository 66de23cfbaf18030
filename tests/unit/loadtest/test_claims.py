"""Figures that support a claim, that break it, and that are too few."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from loadtest.checker import Availability, Findings, Kind, PhaseFigures, Window, check
from loadtest.claims import availability, claim, data, latency
from loadtest.claims.availability import NO_FAILED_GET, NO_FAILED_REQUEST
from loadtest.claims.claim import (
    Claim,
    ClaimResult,
    Lacks,
    Observed,
    Sight,
    Verdict,
    evaluate,
    holds,
    not_looked_for,
    worst,
)
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Phase
from loadtest.history import STOPPED, Action, End, Mark, Op, OpOutcome, Probe

PLENTY: Mapping[str, object] = {
    "seconds": 10.0, "users": 30, "operations": 1000, "ok": 1000, "as_logged_in": 800,
    "nodes": {"node-1": 500, "node-2": 500},
}  # fmt: skip
EMPTY = check([End(0, 0)])
HALF, UP_TO_HALF, TWO_THIRDS, THIRD = (
    data.share_of_requests(1 / 2, "about half"),
    data.share_of_requests(1 / 2, "up to half", least=0.08),
    data.share_of_requests(2 / 3, "about two thirds"),
    data.share_of_users(1 / 3, "about a third"),
)


def figures(**changes: object) -> PhaseFigures:
    return PhaseFigures(**{**PLENTY, **changes})  # type: ignore[arg-type]


def found(counts: Mapping[str, object] | None = None, **changes: object) -> Observed:
    """Planted figures of a whole run; `counts` are of the findings."""
    findings: Findings = msgspec.structs.replace(EMPTY, total=figures(**changes), **(counts or {}))
    return Observed(findings)


def verdict(claim: Claim, seen: Observed) -> Verdict:
    return claim.check(seen).verdict


@pytest.mark.parametrize(
    "claim", [NOTHING_LOST, NO_FAILED_REQUEST, NO_FAILED_GET, availability.FEW_FAILED_WRITES, availability.served_by(2)]
)
def test_clean_figures_support_that_nothing_is_lost_or_fails(claim: Claim) -> None:
    result = claim.check(found())
    assert result.holds
    assert result.seen, "the value that was seen"


def test_what_a_target_does_not_show_is_not_looked_for_and_never_holds() -> None:
    lacks: Lacks = {Kind.UPDATE_LOST: "no counter", Kind.STALE_READ: "no counter", Kind.REVIVED: "no logout"}
    seen = dataclasses.replace(found(), lacks=lacks)
    results = evaluate([NOTHING_LOST, data.LOGOUTS_STAY, NO_FAILED_GET], seen)
    held = [result.claim for result in results if result.holds]
    assert held == [
        "no session is lost, no write is in another session, no answer has data of another user",
        NO_FAILED_GET.text,
    ]
    assert [(one.claim, one.reason) for one in results if one.verdict is Verdict.NOT_LOOKED_FOR] == [
        (data.LOGOUTS_STAY.text, "no logout"),
        ("no update is lost", "no counter"),
        ("no old value is shown", "no counter"),
        ("no logout is undone", "no logout"),
    ]
    assert worst(results).verdict is Verdict.HOLDS, "of what was looked for"
    assert worst([one for one in results if not one.holds]).verdict is Verdict.NOT_LOOKED_FOR


def test_a_loss_breaks_a_claim_about_what_is_shown() -> None:
    seen = dataclasses.replace(found(found={Kind.SESSION_LOST: 1}), lacks={Kind.REVIVED: "no logout"})
    assert worst(evaluate([NOTHING_LOST], seen)).verdict is Verdict.BROKEN


def test_which_node_answered_is_not_looked_for_where_no_answer_says_so() -> None:
    seen = dataclasses.replace(found(nodes={}), lacks={Sight.NODES: "no answer names its node"})
    assert availability.served_by(3).check(seen) == not_looked_for("no answer names its node")


@pytest.mark.parametrize("kind", Kind)
def test_one_loss_of_any_kind_breaks_that_nothing_is_lost(kind: Kind) -> None:
    lost = found(found={kind: 1})
    assert NOTHING_LOST.check(lost) == ClaimResult(verdict=Verdict.BROKEN, reason=f"1 x {kind}; expected none")
    others = tuple(other for other in Kind if other is not kind)
    assert verdict(data.nothing_lost(kinds=others), lost) is Verdict.HOLDS


def test_a_claim_about_a_phase_looks_at_that_phase_alone() -> None:
    phases = {"during": figures(found={Kind.UPDATE_LOST: 1}, logged_out=533), "after": figures()}
    seen = Observed(msgspec.structs.replace(EMPTY, total=figures(), phases=phases))
    assert verdict(NOTHING_LOST, seen.within("during")) is Verdict.BROKEN
    assert verdict(NOTHING_LOST, seen.within("after")) is Verdict.HOLDS
    assert verdict(TWO_THIRDS.within("during"), seen) is Verdict.HOLDS
    assert verdict(TWO_THIRDS.within("after"), seen) is Verdict.BROKEN
    assert verdict(TWO_THIRDS.within("never"), seen) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize("claim", [NOTHING_LOST, HALF, TWO_THIRDS, THIRD], ids=lambda claim: claim.text)
@pytest.mark.parametrize("little", [{"users": 5}, {"as_logged_in": 50}, {"users": 0, "as_logged_in": 0}])
def test_little_data_supports_no_claim(claim: Claim, little: dict[str, int]) -> None:
    planted: dict[str, Any] = dict(little)
    assert verdict(claim, found(**planted)) is Verdict.NOT_ENOUGH_DATA


def test_a_phase_takes_longer_until_its_claims_have_the_requests_they_need() -> None:
    needing = (NOTHING_LOST, TWO_THIRDS, NO_FAILED_REQUEST)
    assert Phase(name="steady", seconds=1, claims=needing).min_requests == TWO_THIRDS.min_requests == 150
    assert Phase(name="steady", seconds=1, claims=(NO_FAILED_REQUEST,)).min_requests == 0


def test_a_failed_request_breaks_that_none_fails_with_its_reason() -> None:
    failed = found(failed=1, failed_writes=1, failures={"POST /visits: status 502": 1})
    assert NO_FAILED_REQUEST.check(failed).reason == "failed: 1 x POST /visits: status 502"


@pytest.mark.parametrize(
    ("claim", "seen", "expected"),
    [
        (NOTHING_LOST, found(found={Kind.CROSSED: 1}, users=1, as_logged_in=3), "broken"),  # a fact even in little data
        (NO_FAILED_GET, found(failed=1, failed_writes=1), "holds"),
        (NO_FAILED_GET, found(failed=1, failed_gets=1), "broken"),
        (NO_FAILED_REQUEST, found(operations=59), "not enough data"),
        (availability.FEW_FAILED_WRITES, found(failed=3, failed_writes=3), "holds"),  # a tenth of the users
        (availability.FEW_FAILED_WRITES, found(failed=4, failed_writes=4), "broken"),
        (availability.served_by(3), found(), "broken"),
        (THIRD, found(users_logged_out=10), "holds"),
        (THIRD, found(users_logged_out=6), "holds"),
        (THIRD, found(users_logged_out=20), "broken"),
        (THIRD, found(users_logged_out=0), "broken"),
        (THIRD, found(users=15, users_logged_out=0), "broken"),
        # with the least data that is enough, a half differs from its neighbours
        (HALF, found(as_logged_in=150, logged_out=50), "broken"),
        (HALF, found(as_logged_in=150, logged_out=100), "broken"),
    ],
)
def test_figures_support_or_break_a_claim(claim: Claim, seen: Observed, expected: str) -> None:
    assert verdict(claim, seen) == expected


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


def probed(probes: int = 400, gap: float = 0.0, late: float = 0.0) -> dict[str, Availability]:
    probes_of = Availability(
        probes=probes, ok=probes, fail=0, unknown=0, interval=0.05, late=late,
        errors=(Window(0, gap),) if gap else (), slow=None, slow_after=1.0, p50=1.0, p99=2.0, slowest=3.0,
    )  # fmt: skip
    return {"site": probes_of}


@pytest.mark.parametrize(
    ("probes_of", "expected"),
    [
        (probed(gap=1.0), Verdict.HOLDS),
        (probed(gap=1.01), Verdict.BROKEN),
        (probed(probes=49), Verdict.NOT_ENOUGH_DATA),
        (probed(late=1.5), Verdict.NOT_ENOUGH_DATA),
        ({}, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_a_gap_is_judged_only_by_a_prober_that_could_see_it(
    probes_of: dict[str, Availability], expected: Verdict
) -> None:
    assert verdict(availability.gap_within(1.0), found({"availability": probes_of})) is expected


def test_the_worst_result_decides_and_gives_the_reasons() -> None:
    little, wrong, failed = (
        ClaimResult(verdict=Verdict.NOT_ENOUGH_DATA, reason="3 users"),
        ClaimResult(claim="steady", verdict=Verdict.BROKEN, reason="1 lost"),
        ClaimResult(verdict=Verdict.BROKEN, reason="2 failed"),
    )
    well = holds("0 lost")
    assert claim.worst([]) == claim.worst([well, well]) == ClaimResult(verdict=Verdict.HOLDS)
    assert claim.worst([well, little]) == little
    assert claim.worst([wrong, little, failed]).reason == "steady: 1 lost; 2 failed"


def test_a_truncated_history_decides_nothing() -> None:
    truncated = Observed(msgspec.structs.replace(found(found={Kind.SESSION_LOST: 1}).findings, complete=False))
    (result,) = claim.evaluate([NOTHING_LOST, NO_FAILED_REQUEST], truncated)
    assert (result.verdict, result.reason) == (
        Verdict.NOT_ENOUGH_DATA,
        "the history is truncated, after 1000 operations",
    )


TIMING = claim.Timing(started=89.0, before=90.0, fault=100.0, faulty=100.1, undo=110.0, undone=111.0, ended=120.0)
MARKS = [Mark(90.0, "before"), Mark(100.0, "during"), Mark(111.0, "after"), Mark(120.0, "end")]


def op(at: float, seconds: float = 0.01, action: Action = Action.VISIT, error: str = "", **shown: Any) -> Op:
    return Op(
        who="visitor-1", account="alice", session="visitor-1#1", action=action,
        outcome=OpOutcome.OK if not error else OpOutcome.UNKNOWN, method="GET" if action is Action.LOOK else "POST",
        path="/", status=503 if error else 200, error=error, started=at, ended=at + seconds, **shown,
    )  # fmt: skip


def failed(at: float, action: Action = Action.VISIT, error: str = "status 503") -> Op:
    return op(at, action=action, error=error)


def probe(at: float, seconds: float = 0.01, ok: bool = True, target: str = "site") -> Probe:
    return Probe(target=target, started=at, ended=at + seconds, outcome=OpOutcome.OK if ok else OpOutcome.FAIL)


def probes(
    begin: float = 90.0, end: float = 120.0, slow: tuple[float, float] = (0, 0), took: float = 1.0
) -> list[Probe]:
    times = [begin + 0.05 * number for number in range(int((end - begin) / 0.05))]
    return [probe(at, took if slow[0] <= at < slow[1] else 0.01) for at in times]


def test_what_was_seen_counts_the_requests_that_a_claim_is_about() -> None:
    reads = [op(91.0 + number, action=Action.LOOK) for number in range(3)]
    seen = Observed(check([*reads, op(95.0)]))
    texts = [availability.no_failed_request(gets=gets, min_operations=0).check(seen).seen for gets in (True, False)]
    assert texts == ["0 of 3 GETs failed", "0 of 4 requests failed"]


def lost_session(writes_before: int) -> list[Op]:
    writes = [op(99.1 + number / 10) for number in range(writes_before)]
    return [op(91.0, action=Action.LOGIN), *writes, op(105.0, action=Action.LOOK, user=None)]


LOST_ELSEWHERE = [replace(op, session="another", who="another") for op in lost_session(writes_before=3)]


def pinned(*moved: int, astray: bool = False) -> list[Op]:
    """Five browsers, of which 0 to 2 have node-2 until it dies; `moved`: those that are served later."""
    homes = ["node-2"] * 3 + ["node-1", "node-3"]
    ops = [replace(op(91.0 + number), session=f"jar-{number}", node=node) for number, node in enumerate(homes)]
    ops += [replace(op(101.0 + number), session=f"jar-{number}", node="node-1") for number in moved]
    ops += [replace(op(105.0), session=f"jar-{number}", node=homes[number]) for number in (3, 4)]
    return [*ops, *([replace(op(97.0), session="jar-4", node="node-1")] if astray else [])]


def flood(refused: int = 200, logins: int = 20, took: float = 0.01, newcomers: int = 429) -> list[Op]:
    """Users beside newcomers, of whom these many are refused with this status."""
    users = [op(101 + number / 100, took, Action.LOGIN) for number in range(logins)]
    users += [op(102 + number / 100, took) for number in range(100)]
    arrived = [op(101 + number / 100, error="status 503") for number in range(refused)]
    return [*users, *(replace(each, who="arrival-1-1", status=newcomers) for each in arrived)]


ASKED = [op(100 + number / 10, 0.5) for number in range(30)]
SERVED = [
    *(op(103 + number / 10, node="node-2", upstream="10.0.0.9:8000, 10.0.0.6:8000") for number in range(30)),
    *(op(at, node="node-8", upstream="10.0.0.8:8000") for at in (99, 112)),
]


def failed_at(upstream: str) -> Op:
    """A request that failed from 101 on, of a proxy that says which nodes it was sent to."""
    return replace(failed(101, error="status 502"), status=502, upstream=upstream)


LOGOUTS = [op(100 + number, action=Action.LOGOUT) for number in range(10)]


def test_a_lost_machine_says_how_many_failures_named_no_node() -> None:
    history = [*SERVED * 3, replace(failed_at("10.0.0.7:8000"), who="visitor-2"), failed(101)]
    seen = Observed(check([*history, *MARKS]), history, timing=TIMING)
    claim = availability.failed_from_the_fault_within(2.0)
    assert claim.check(seen).seen == "2 failed; of 1 no answer names a node"
    history = [*history[:-1], failed_at("10.0.0.6:8000")]
    reason = "1 requests failed at nodes that were not lost: 10.0.0.6:8000"
    assert claim.check(Observed(check([*history, *MARKS]), history, timing=TIMING)).reason == reason


@pytest.mark.parametrize(
    ("writes", "reason"),
    [
        ([op(100.5, 11.3), op(102, 4.0)], "no write was refused; writes waited, the slowest 11.3 s"),
        ([op(95, 4.0), op(102, 0.5), op(103, 5.0, Action.LOOK)], "no write was refused; the fault had no effect"),
    ],
    ids=["waited", "had no effect"],
)
def test_writes_that_waited_for_the_store_are_said_with_the_slowest(writes: list[Op], reason: str) -> None:
    result = availability.WRITES_REFUSED.check(Observed(check([*writes, *MARKS]), writes, timing=TIMING))
    assert (result.verdict, result.reason) == (Verdict.BROKEN, reason)


@pytest.mark.parametrize(
    ("claim", "history", "expected"),
    [
        # A slow window is measured by when its probes were sent; later ones are of nginx trying the node again.
        (latency.slow_window(3.0), probes(slow=(100, 102.5), took=5.0), "holds"),
        (latency.slow_window(3.0), probes(slow=(100, 103.5)), "broken"),
        (latency.slow_window(3.0), [*probes(slow=(100, 102)), probe(107.0, 2.0), probe(114.0, 2.0)], "holds"),
        (latency.slow_window(3.0), probes(105, 106), "not enough data"),
        (availability.recovers_within(0.5), [*probes(), probe(111.3, ok=False)], "holds"),
        (availability.recovers_within(0.5), [*probes(), probe(112.0, ok=False)], "broken"),
        (availability.recovers_within(0.5), probes(105, 106), "not enough data"),
        # Only probes of the site count for it.
        (latency.site_fast(0.5), probes(), "holds"),
        (latency.site_fast(0.5), probes(slow=(101, 104)), "broken"),
        (latency.site_fast(0.5), [*probes(), probe(105.0, 9.0, target="session")], "holds"),
        (latency.site_fast(0.5), [*probes(), probe(105.0, ok=False)], "broken"),
        (latency.site_fast(0.5), probes(105, 106), "not enough data"),
        # Only requests made during the fault must be answered in time.
        (latency.bounded(2.0), [*ASKED, op(95.0, 4.0)], "holds"),
        (latency.bounded(2.0), [*ASKED, op(105.0, 2.1)], "broken"),
        (latency.bounded(2.0), ASKED[:5], "not enough data"),
        (availability.failures_end_within(3.0), [op(95), failed(101), failed(102.9)], "holds"),
        (availability.failures_end_within(3.0), [failed(101), failed(103.1)], "broken"),
        (availability.failures_end_within(3.0), [op(101)], "not enough data"),
        (
            availability.failures_end_within(3.0),
            [failed(101), failed(119.9, error=STOPPED)],
            "holds",
        ),  # the end of the load
        (availability.failed_from_the_fault_within(10.0), [*ASKED * 3, failed(101)], "holds"),
        (availability.failed_from_the_fault_within(10.0), [*ASKED, failed(101)], "not enough data"),
        (availability.failed_from_the_fault_within(10.0), [*ASKED * 3, failed(101), failed(102)], "broken"),
        # An answer tells where the request was: at what is not heard of again, or at a node that goes on.
        (availability.failed_from_the_fault_within(2.0), [*SERVED * 3, failed_at("10.0.0.7:8000")], "holds"),
        (availability.failed_from_the_fault_within(2.0), [*SERVED * 3, failed_at("10.0.0.6:8000")], "broken"),
        (
            availability.failed_from_the_fault_within(2.0),
            [*SERVED * 3, failed_at("10.0.0.6:8000, 10.0.0.7:8000")],
            "holds",
        ),
        (availability.failed_from_the_fault_within(2.0), [*SERVED * 3, replace(failed(101), node="node-2")], "broken"),
        # Good answers until the fault, or from a machine that is back, are not of a node that goes on.
        (availability.failed_from_the_fault_within(2.0), [*SERVED * 3, failed_at("10.0.0.8:8000")], "holds"),
        # While it comes back, a request may be refused, and not fail in another way.
        (availability.failed_from_the_fault_within(5.0), [*ASKED * 3, failed(101), failed(110.5)], "holds"),
        (availability.failed_from_the_fault_within(5.0), [*ASKED * 3, failed(111.5)], "broken"),
        (availability.failed_from_the_fault_within(5.0), [*ASKED * 3, replace(failed(110.5), status=502)], "broken"),
        (availability.WRITES_REFUSED, [failed(101), op(102)], "holds"),
        (availability.WRITES_REFUSED, [op(101), failed(101, Action.LOOK)], "broken"),
        (availability.WRITES_REFUSED, [op(101), replace(failed(101), method="GET")], "holds"),  # its token's page
        (availability.WRITES_REFUSED, [op(101), replace(failed(95), method="GET")], "broken"),
        (availability.PINNED_MOVE, pinned(0, 1, 2), "holds"),
        (availability.PINNED_MOVE, pinned(0, 1), "not enough data"),
        (availability.PINNED_MOVE, pinned(0, 1, 2, astray=True), "broken"),
        (availability.ONLY_NEWCOMERS_REFUSED, flood(), "holds"),
        (availability.ONLY_NEWCOMERS_REFUSED, flood(newcomers=503), "holds"),
        (availability.ONLY_NEWCOMERS_REFUSED, flood(newcomers=502), "broken"),
        (availability.ONLY_NEWCOMERS_REFUSED, [*flood(), failed(105, Action.LOGIN)], "broken"),
        (availability.ONLY_NEWCOMERS_REFUSED, [*flood(), failed(95)], "holds"),  # before the flood
        (availability.ONLY_NEWCOMERS_REFUSED, flood(refused=199), "not enough data"),
        (availability.ONLY_NEWCOMERS_REFUSED, flood(logins=19), "not enough data"),
        (availability.LOGINS_REFUSED, [*flood(), failed(105, Action.LOGIN)], "holds"),
        (availability.LOGINS_REFUSED, flood(), "broken"),
        (latency.users_within(2.0), flood(), "holds"),
        (latency.users_within(2.0), flood(took=2.1), "broken"),
        (latency.users_within(2.0), [*flood(), op(105.0, 2.1)], "holds"),  # 1 of 121
        (latency.users_within(2.0), [*flood(), op(105.0, 2.1), op(106.0, 2.1)], "broken"),
        (latency.users_within(2.0), flood()[:99], "not enough data"),
        (data.lost_at_most(1.0), lost_session(writes_before=3), "holds"),
        (data.lost_at_most(1.0), lost_session(writes_before=0), "broken"),
        (data.lost_at_most(1.0), [op(91.0)], "not enough data"),
        (data.SOMETHING_LOST, lost_session(writes_before=0), "holds"),
        (data.SOMETHING_LOST, [op(91.0)], "broken"),
        (data.LOGOUTS_STAY, LOGOUTS, "holds"),
        (data.LOGOUTS_STAY, LOGOUTS[:9], "not enough data"),
        (data.LOGOUTS_STAY, [*LOGOUTS, *LOST_ELSEWHERE], "holds"),
        (data.NOTHING_ELSE_LOST, [*LOGOUTS, *LOST_ELSEWHERE], "broken"),
        (data.NOTHING_ELSE_LOST, LOGOUTS, "holds"),
    ],
)
def test_operations_and_probes_support_or_break_a_claim(claim: Claim, history: list[Any], expected: str) -> None:
    ops = [event for event in history if isinstance(event, Op)]
    probes = [event for event in history if isinstance(event, Probe)]
    assert verdict(claim, Observed(check([*history, *MARKS]), ops, probes, TIMING)) == expected


def overloaded(**during: object) -> Observed:
    """Figures of a phase that found the limit, 100 good answers a second, and of an overload that nothing served."""
    usual: dict[str, object] = {"ok": 900, "operations": 2000, "failed": 1100, "shed": 1100}
    phases = {"limit": figures(), "during": figures(**{**usual, **during})}
    return Observed(msgspec.structs.replace(EMPTY, total=figures(), phases=phases), timing=TIMING)


def answers(good: int, refused: int, begin: float = 101.0) -> list[Op]:
    """Answers of 10 s to requests of 101, when the overload begins; it ends at 111."""
    shed = replace(op(101.0), outcome=OpOutcome.UNKNOWN, status=503)
    served = replace(op(101.0), status=200)
    both = [served] * good + [shed] * refused
    return [replace(one, ended=begin + 10 * number / len(both)) for number, one in enumerate(both)]


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        (answers(900, 1100), Verdict.HOLDS),
        (answers(800, 700), Verdict.HOLDS),
        (answers(799, 1100), Verdict.BROKEN),
        (answers(900, 599), Verdict.NOT_ENOUGH_DATA),
        # What the load generator gets after the end was not answered under overload.
        (answers(700, 1100) + answers(500, 0, begin=111.0), Verdict.BROKEN),
        (answers(900, 0) + answers(0, 1100, begin=111.0), Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_goodput_under_overload_is_compared_with_the_best(ops: list[Op], expected: Verdict) -> None:
    assert verdict(latency.goodput(0.8, "limit", 1.5), dataclasses.replace(overloaded(), ops=ops)) is expected


@pytest.mark.parametrize(
    ("during", "expected"),
    [
        ({}, Verdict.HOLDS),
        ({"failed": 1101, "failures": {"GET /me: status 502": 1}}, Verdict.BROKEN),
        ({"failed": 0, "shed": 0}, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_only_shed_requests_may_fail_under_overload(during: dict[str, Any], expected: Verdict) -> None:
    assert verdict(availability.ONLY_SHED, overloaded(**during)) is expected


SESSION_PROBES = [replace(one, target="session") for one in probes(slow=(90, 101))]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (SESSION_PROBES, Verdict.HOLDS),
        ([*SESSION_PROBES, *[probe(105.0, 0.6, target="session")] * 3], Verdict.BROKEN),
        # Refusals come at once, and say nothing about what is served.
        ([*SESSION_PROBES, *[probe(105.0, 0.6, ok=False, target="session")] * 3], Verdict.HOLDS),
        ([replace(one, target="site") for one in SESSION_PROBES], Verdict.NOT_ENOUGH_DATA),
        ([*SESSION_PROBES, replace(probe(105.0, target="session"), late=0.6)], Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_answers_under_overload_must_come_in_time(seen: list[Probe], expected: Verdict) -> None:
    assert verdict(latency.served_within(0.5), dataclasses.replace(overloaded(), probes=seen)) is expected


@pytest.mark.parametrize(("failed", "expected"), [(24, Verdict.HOLDS), (25, Verdict.BROKEN)])
def test_as_many_writes_may_fail_as_were_in_flight(failed: int, expected: Verdict) -> None:
    claim = availability.failed_writes_at_most(24, "in flight")
    assert verdict(claim, overloaded(failed=failed, failed_writes=failed)) is expected
