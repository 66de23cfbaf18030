"""Claims: what must hold after a run, as numbers, and the verdict on each.

Too little data supports nothing: it is NOT_ENOUGH_DATA, never HOLDS. A loss is a fact and needs no amount of data.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import msgspec

from loadtest.checker import Findings, Kind, PhaseFigures
from loadtest.checker.figures import percentile
from loadtest.history import STOPPED, Action, Op, Outcome, Probe

DURING = "during"
"""The phase of an experiment during which the fault is active."""
SITE, SESSION = "site", "session"
"""Endpoints of the prober: a page without a session, and one that reads the store."""
MIN_PROBES = 50
WRITES = frozenset({Action.LOGIN, Action.LOGOUT, Action.VISIT, Action.ADD, Action.EMPTY})
_SLOW = 0.5
"""Seconds after which an answer to a probe is slow."""
_APART = 1.0
"""Seconds between two slow probes that belong to different windows."""


class Verdict(StrEnum):
    """From best to worst."""

    HOLDS = "holds"
    NOT_ENOUGH_DATA = "not enough data"
    BROKEN = "broken"


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a claim and, unless it holds, the reason in a few words."""

    claim: str = ""
    verdict: Verdict
    reason: str = ""


HOLDS = ClaimResult(verdict=Verdict.HOLDS)


def broken(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.BROKEN, reason=reason)


def not_enough(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.NOT_ENOUGH_DATA, reason=reason)


def worst(results: Iterable[ClaimResult]) -> ClaimResult:
    """Return the worst verdict, with the reasons of all results that have it. HOLDS for no results."""
    order, ranked = list(Verdict), list(results)
    verdict = max((result.verdict for result in ranked), key=order.index, default=Verdict.HOLDS)
    reasons = (
        f"{result.claim}: {result.reason}" if result.claim else result.reason
        for result in ranked
        if result.verdict is verdict and result.reason
    )
    return ClaimResult(verdict=verdict, reason="; ".join(reasons))


@dataclass(frozen=True)
class Times:
    """In epoch seconds: the start of applying the fault, the start of its undo, and the end of the undo."""

    fault: float
    undo: float
    undone: float


@dataclass(frozen=True)
class Observed:
    """Evidence of one run: the checker's findings, and the history behind them for claims that need operations.

    `phase` limits the figures to one phase; None: the whole run.
    """

    findings: Findings
    ops: Sequence[Op] = ()
    probes: Sequence[Probe] = ()
    times: Times = Times(0.0, 0.0, 0.0)
    phase: str | None = None

    def within(self, phase: str) -> "Observed":
        """Limit the figures to one phase."""
        return replace(self, phase=phase)

    @property
    def figures(self) -> PhaseFigures:
        if self.phase is None:
            return self.findings.total
        return self.findings.phases.get(self.phase, PhaseFigures(seconds=0.0))

    def count(self, kind: Kind) -> int:
        return self.findings.count(kind) if self.phase is None else self.figures.found.get(kind, 0)

    @property
    def lost_writes(self) -> int:
        """Updates, sessions and logouts that were acknowledged and are lost."""
        return self.findings.updates_lost + self.findings.sessions_lost + self.findings.revived


class Claim(Protocol):
    """Something that must hold; `text` is for people: "no session is lost"."""

    @property
    def text(self) -> str: ...

    def check(self, seen: Observed) -> ClaimResult: ...


def evaluate(claims: Iterable[Claim], seen: Observed) -> tuple[ClaimResult, ...]:
    """Check each claim.

    A truncated history supports nothing: an operation in flight at its end might explain a loss.
    """
    if not seen.findings.complete:
        truncated = f"the history is truncated, after {seen.findings.total.operations} operations"
        return (msgspec.structs.replace(not_enough(truncated), claim="the history is complete"),)
    return tuple(msgspec.structs.replace(claim.check(seen), claim=claim.text) for claim in claims)


def needed_requests(claims: Iterable[Claim]) -> int:
    """Return how many requests of logged-in users all of the claims need before they can hold."""
    inner = [claim.claim if isinstance(claim, InPhase) else claim for claim in claims]
    counted = [claim for claim in inner if isinstance(claim, NothingLost | ShareOfRequests | ShareOfUsers)]
    return max((claim.min_requests for claim in counted), default=0)


@dataclass(frozen=True)
class NothingLost:
    """Nothing of these kinds is found.

    Zero losses in n requests leave, by the rule of three, a loss rate of 3/n possible (95 %), so 60 requests exclude
    more than 5 %, where other clusters lose a half. And 12 users: if a third of them were hit, the chance to see none
    is (2/3)^12 < 1 %. Experiments on a few shared sessions need fewer users.
    """

    text: str = "no session, update or logout is lost"
    kinds: tuple[Kind, ...] = tuple(Kind)
    min_requests: int = 60
    min_users: int = 12

    def check(self, seen: Observed) -> ClaimResult:
        lost = [f"{count:,} x {kind}" for kind in self.kinds if (count := seen.count(kind))]
        if lost:
            return broken(f"{', '.join(lost)}; expected none")
        return _enough_answers(seen.figures, self.min_requests, self.min_users)


@dataclass(frozen=True)
class NoFailedRequest:
    """No request fails: no 5xx, no broken connection. With `gets` only GETs are counted."""

    text: str = "no request fails"
    gets: bool = False
    min_operations: int = 60

    def check(self, seen: Observed) -> ClaimResult:
        figures = seen.figures
        if figures.failed_gets if self.gets else figures.failed:
            return broken(f"failed: {list_failures(figures.failures)}")
        if figures.operations < self.min_operations:
            return not_enough(f"{figures.operations} operations; {self.min_operations} are needed")
        return HOLDS


@dataclass(frozen=True)
class FewFailedWrites:
    """Only writes fail that were in flight on the node that died.

    A GET is sent to another node by the proxy; a POST that was sent is not repeated. Each user has at most one request
    in flight, and waits most of the time, so a tenth of the users (at least one) is a generous bound.
    """

    text: str = "only writes in flight fail, for a tenth of the users at most"

    def check(self, seen: Observed) -> ClaimResult:
        bound = max(1, math.ceil(seen.figures.users / 10))
        if seen.figures.failed_writes > bound:
            return broken(f"more than {bound} writes failed: {list_failures(seen.figures.failures)}")
        return HOLDS


@dataclass(frozen=True)
class ShareOfRequests:
    """About this share of the requests made as a logged-in user find it logged out.

    The tolerance is the 99 % interval of a binomial share (2.58 standard deviations), plus 0.05 because the model is
    not exact: round robin takes strict turns, so consecutive requests are not quite independent. From 150 requests on
    that is at most 0.05 + 2.58 * 0.5 / sqrt(150) = 0.155, less than the 1/6 between a half and its neighbours (a third,
    two thirds): they cannot be confused. 10 users: fewer follow the strict turns in lockstep (a single one would always
    find itself logged out).

    `least` replaces the lower bound where the share is an upper bound. The kernel decides how two workers that accept
    from one socket share its connections: if one takes the part p, 2p(1-p) of the requests miss, which is
    a half for p = 0.5, a third for 0.79 and 0.095 for 0.95 (run: 19 to 49 % in 17 runs).
    """

    share: float
    words: str
    least: float | None = None
    min_requests: int = 150
    min_users: int = 10

    @property
    def text(self) -> str:
        return f"{self.words} of the requests find their user logged out"

    def check(self, seen: Observed) -> ClaimResult:
        figures = seen.figures
        enough = _enough_answers(figures, self.min_requests, self.min_users)
        if enough != HOLDS:
            return enough
        tolerance = 0.05 + 2.58 * math.sqrt(self.share * (1 - self.share) / figures.as_logged_in)
        least = self.share - tolerance if self.least is None else self.least
        if least <= figures.share_logged_out <= self.share + tolerance:
            return HOLDS
        return broken(
            f"{figures.share_logged_out:.0%} of the requests found the user logged out; "
            f"expected {self.words} (from {least:.0%} to {self.share + tolerance:.0%})"
        )


@dataclass(frozen=True)
class ShareOfUsers:
    """About this share of the users are logged out, once each or more often.

    nginx takes turns with new clients, so the number pinned to one node varies less than a binomial one: two of its
    standard deviations are wide enough. 15 users, because from there on the lower bound is above one user.
    """

    share: float
    words: str
    min_requests: int = 60
    min_users: int = 15

    @property
    def text(self) -> str:
        return f"{self.words} of the users lose their session"

    def check(self, seen: Observed) -> ClaimResult:
        figures = seen.figures
        enough = _enough_answers(figures, self.min_requests, self.min_users)
        if enough != HOLDS:
            return enough
        mean, spread = figures.users * self.share, 2 * math.sqrt(figures.users * self.share * (1 - self.share))
        low, high = math.ceil(mean - spread), math.floor(mean + spread)
        if low <= figures.users_logged_out <= high:
            return HOLDS
        return broken(
            f"{figures.users_logged_out} of {figures.users} users were logged out; "
            f"expected {self.words} (from {low} to {high})"
        )


@dataclass(frozen=True)
class ServedBy:
    """At least this many different nodes answer."""

    nodes: int

    @property
    def text(self) -> str:
        return f"{self.nodes} nodes serve"

    def check(self, seen: Observed) -> ClaimResult:
        nodes = seen.figures.nodes
        if len(nodes) >= self.nodes:
            return HOLDS
        return broken(f"answered by {', '.join(nodes) or 'no node'} alone; expected {self.nodes} nodes")


@dataclass(frozen=True)
class LogoutsStay:
    """Nothing is lost or revived in at least `races` races of a logout with writes of its session."""

    races: int = 10
    text: str = "a logged-out session stays so, however the writes fall"

    def check(self, seen: Observed) -> ClaimResult:
        result = NothingLost(min_requests=0, min_users=1).check(seen)
        logouts = sum(op.action is Action.LOGOUT and op.outcome is Outcome.OK for op in seen.ops)
        if result == HOLDS and logouts < self.races:
            return not_enough(f"{logouts} logouts; {self.races} are needed")
        return result


@dataclass(frozen=True)
class LostAtMost:
    """No more is lost than was acknowledged in the last `seconds` before the fault."""

    seconds: float

    @property
    def text(self) -> str:
        return f"at most the last {self.seconds:g} s of writes are lost"

    def check(self, seen: Observed) -> ClaimResult:
        end = seen.times.fault
        acknowledged = [op for op in seen.ops if op.outcome is Outcome.OK and op.action in WRITES]
        bound = sum(end - self.seconds <= op.ended <= end for op in acknowledged)
        if seen.lost_writes > bound:
            return broken(f"{seen.lost_writes} writes lost, of {bound} acknowledged in the last {self.seconds:g} s")
        return HOLDS if bound else not_enough("nothing was written in that time")


@dataclass(frozen=True)
class SomethingLost:
    """Acknowledged writes are lost: the loss that another variant prevents does happen."""

    text: str = "acknowledged writes are lost"

    def check(self, seen: Observed) -> ClaimResult:
        return HOLDS if seen.lost_writes else broken("nothing was lost; expected a loss")


@dataclass(frozen=True)
class WritesRefused:
    """Writes fail during the fault: no write is acknowledged that could not be stored."""

    text: str = "writes are refused, and say so"

    def check(self, seen: Observed) -> ClaimResult:
        if not seen.within(DURING).figures.failed_writes:
            return broken("no write was refused; the fault had no effect")
        return HOLDS


@dataclass(frozen=True)
class GapWithin:
    """The prober never waits longer than this many seconds for a good answer, on any target."""

    seconds: float

    @property
    def text(self) -> str:
        return f"no gap longer than {self.seconds:g} s"

    def check(self, seen: Observed) -> ClaimResult:
        if not seen.findings.availability:
            return not_enough("there was no prober")
        for name, target in seen.findings.availability.items():
            if target.probes < MIN_PROBES:
                return not_enough(f"{target.probes} probes of {name}; {MIN_PROBES} are needed")
            if target.late > self.seconds:
                return not_enough(f"the prober of {name} was itself late by {target.late:.2f} s")
        gap = seen.findings.gap
        if gap > self.seconds:
            return broken(f"{gap:.2f} s without a good answer; expected {self.seconds:g} s at most")
        return HOLDS


@dataclass(frozen=True)
class RecoversWithin:
    """From this many seconds after the undo on, the prober gets good answers only."""

    seconds: float

    @property
    def text(self) -> str:
        return f"well again {self.seconds:g} s after the fault is gone"

    def check(self, seen: Observed) -> ClaimResult:
        undone = seen.times.undone
        late = [p.started - undone for p in seen.probes if p.outcome is not Outcome.OK and p.started > undone]
        if max(late, default=0.0) > self.seconds:
            return broken(f"still failing {max(late):.2f} s after the fault was gone; {self.seconds:g} s expected")
        return _enough_probes(seen.probes)


@dataclass(frozen=True)
class FailuresEndWithin:
    """From this many seconds after the fault on, no request of a user fails.

    For a store that lost a shard: the prober's session may be on another shard.
    """

    seconds: float

    @property
    def text(self) -> str:
        return f"no request fails that is made {self.seconds:g} s after the fault, or later"

    def check(self, seen: Observed) -> ClaimResult:
        failed = [
            op.started - seen.times.fault
            for op in seen.ops
            if op.error not in {"", STOPPED} and op.started > seen.times.fault
        ]
        if max(failed, default=0.0) > self.seconds:
            return broken(f"one failed {max(failed):.2f} s after the fault; {self.seconds:g} s expected")
        return HOLDS if failed else not_enough("no request failed at all: none needed the part that was gone")


@dataclass(frozen=True)
class SlowWindow:
    """Probes get answers later than 0.5 s for at most this long in one window: then the node is taken out.

    nginx sends the node a request from time to time, to see whether it is back: a window of its own.
    """

    seconds: float

    @property
    def text(self) -> str:
        return f"answers are slow for at most {self.seconds:g} s"

    def check(self, seen: Observed) -> ClaimResult:
        longest = longest_slow_window(seen.probes, _SLOW)
        if longest > self.seconds:
            return broken(f"answers took more than {_SLOW:g} s for {longest:.2f} s; {self.seconds:g} s expected")
        return _enough_probes(seen.probes)


@dataclass(frozen=True)
class Bounded:
    """Each request made during the fault gets its answer, good or not, within this time."""

    seconds: float

    @property
    def text(self) -> str:
        return f"every answer within {self.seconds:g} s"

    def check(self, seen: Observed) -> ClaimResult:
        asked = [op for op in seen.ops if seen.times.fault <= op.started < seen.times.undo]
        slowest = max((op.ended - op.started for op in asked), default=0.0)
        if slowest > self.seconds:
            return broken(f"an answer took {slowest:.2f} s; at most {self.seconds:g} s expected")
        return HOLDS if len(asked) >= 20 else not_enough(f"{len(asked)} requests; 20 are needed")


@dataclass(frozen=True)
class SiteFast:
    """Pages without a session stay fast during the fault: 99 of 100 probes, and no probe fails."""

    seconds: float

    @property
    def text(self) -> str:
        return f"what needs no session is answered within {self.seconds:g} s"

    def check(self, seen: Observed) -> ClaimResult:
        probes = [p for p in seen.probes if p.target == SITE and seen.times.fault <= p.started < seen.times.undo]
        durations = [probe.ended - probe.started for probe in probes]
        if failed := sum(probe.outcome is not Outcome.OK for probe in probes):
            return broken(f"{failed} probes failed")
        if len(durations) < MIN_PROBES:
            return _enough_probes(probes)
        p99 = percentile(durations, 0.99)
        return broken(f"p99 {p99:.2f} s; {self.seconds:g} s expected") if p99 > self.seconds else HOLDS


@dataclass(frozen=True)
class InPhase:
    """A claim about one phase alone."""

    phase: str
    claim: Claim

    @property
    def text(self) -> str:
        return self.claim.text

    def check(self, seen: Observed) -> ClaimResult:
        return self.claim.check(seen.within(self.phase))


NOTHING_LOST = NothingLost()
NO_SESSION_LOST = NothingLost(
    "no session is lost, no logout revived", kinds=(Kind.SESSION_LOST, Kind.REVIVED, Kind.CROSSED)
)
NO_UPDATE_LOST = NothingLost("no update is lost, however the writes fall", min_requests=200, min_users=4)
"""For a few users with several tabs each."""
NO_FAILED_REQUEST = NoFailedRequest()
NO_FAILED_GET = NoFailedRequest("no GET fails", gets=True)


def list_failures(failures: Mapping[str, int]) -> str:
    """Return the failures in words: "2 x POST /visits: status 502, 1 x ..."."""
    return ", ".join(f"{count} x {what}" for what, count in failures.items())


def longest_slow_window(probes: Sequence[Probe], slow: float) -> float:
    """Return the longest time, in seconds, over which probes were sent whose answers took more than `slow` seconds.

    The time of sending counts, because an answer that takes 2 s says nothing about the next request.
    """
    sent = sorted(probe.started for probe in probes if probe.ended - probe.started > slow)
    longest = begin = 0.0
    for previous, now in zip([None, *sent], sent, strict=False):
        if previous is None or now - previous > _APART:
            begin = now
        longest = max(longest, now - begin)
    return longest


def _enough_answers(figures: PhaseFigures, min_requests: int, min_users: int) -> ClaimResult:
    if figures.users < min_users:
        return not_enough(f"{figures.users} users; {min_users} are needed")
    if figures.as_logged_in < min_requests:
        return not_enough(f"{figures.as_logged_in} requests made while logged in; {min_requests} are needed")
    return HOLDS


def _enough_probes(probes: Sequence[Probe]) -> ClaimResult:
    if len(probes) < MIN_PROBES:
        return not_enough(f"{len(probes)} probes; {MIN_PROBES} are needed")
    return HOLDS
