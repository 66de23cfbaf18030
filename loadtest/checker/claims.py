"""What must hold after an experiment, as claims over findings. A claim is data; too little data supports none.

A truncated history supports nothing either way: what was in flight when it ended might explain what it shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from loadtest.checker.findings import Findings, Kind, PhaseFigures
from loadtest.shares import ShareOfRequests, ShareOfUsers, amount
from loadtest.verdict import HOLDS, Ruling, Verdict, broken, not_enough, worst

EVERYTHING = tuple(Kind)


class Claim(Protocol):
    """Something that findings can support or break."""

    def check(self, findings: Findings) -> Ruling: ...


def rule(findings: Findings, claims: Iterable[Claim]) -> Ruling:
    """The worst of what is said about each claim."""
    if not findings.complete:
        return not_enough(f"the history is truncated, after {findings.total.operations} operations")
    return worst(claim.check(findings) for claim in claims)


@dataclass(frozen=True)
class NothingLost:
    """Nothing of these kinds was found.

    A loss is a fact and needs no amount of data. That there is none needs some: see the demo's claim of this name for
    why 60 answers and 12 users; experiments on a few shared sessions need fewer users.
    """

    kinds: tuple[Kind, ...] = EVERYTHING
    min_requests: int = 60
    min_users: int = 12

    def check(self, findings: Findings) -> Ruling:
        lost = [f"{findings.count(kind):,} x {kind}" for kind in self.kinds if findings.count(kind)]
        if lost:
            return broken(f"{', '.join(lost)}; expected none")
        return amount(findings.total, self.min_requests, self.min_users)


@dataclass(frozen=True)
class AtMost:
    """No more than `most` of one kind: where a durability setting has a price, such as a second of writes."""

    kind: Kind
    most: int
    min_requests: int = 60

    def check(self, findings: Findings) -> Ruling:
        count = findings.count(self.kind)
        if count > self.most:
            return broken(f"{count:,} x {self.kind}; expected {self.most:,} at most")
        return amount(findings.total, self.min_requests, 0)


@dataclass(frozen=True)
class AtLeast:
    """At least `least` of one kind: the experiment shows a loss, and without one it shows nothing."""

    kind: Kind
    least: int = 1

    def check(self, findings: Findings) -> Ruling:
        count = findings.count(self.kind)
        return HOLDS if count >= self.least else broken(f"{count:,} x {self.kind}; expected {self.least:,} or more")


@dataclass(frozen=True)
class FailedAtMost:
    """No more than `most` requests failed, in one phase or (None) in the whole run; `gets`: GETs alone are counted."""

    most: int = 0
    phase: str | None = None
    gets: bool = False
    min_operations: int = 60

    def check(self, findings: Findings) -> Ruling:
        figures = _figures(findings, self.phase)
        failed = figures.failed_gets if self.gets else figures.failed
        if failed > self.most:
            what = "GETs" if self.gets else "requests"
            reasons = ", ".join(f"{count} x {reason}" for reason, count in figures.failures.items())
            return broken(f"{failed:,} {what} failed{_in(self.phase)}, {self.most} at most were expected: {reasons}")
        return _enough(figures, self.phase, self.min_operations)


@dataclass(frozen=True)
class LatencyWithin:
    """The 99th percentile of one phase, or of the run, stays within so many milliseconds."""

    p99: float
    phase: str | None = None
    min_operations: int = 200

    def check(self, findings: Findings) -> Ruling:
        figures = _figures(findings, self.phase)
        enough = _enough(figures, self.phase, self.min_operations)
        if enough == HOLDS and figures.p99 > self.p99:
            return broken(f"p99 {figures.p99:.0f} ms{_in(self.phase)}; expected {self.p99:.0f} ms at most")
        return enough


@dataclass(frozen=True)
class GapWithin:
    """The prober never had to wait longer than so many seconds for a good answer, on any target."""

    seconds: float
    min_probes: int = 100

    def check(self, findings: Findings) -> Ruling:
        return _probed(findings, self.min_probes, self.seconds) or _bounded(
            findings.gap, self.seconds, "without a good answer"
        )


@dataclass(frozen=True)
class SlowWithin:
    """From the first to the last probe that was slow or failed it took no longer than so many seconds."""

    seconds: float
    min_probes: int = 100

    def check(self, findings: Findings) -> Ruling:
        slow = max((target.slow_seconds for target in findings.availability.values()), default=0.0)
        return _probed(findings, self.min_probes, self.seconds) or _bounded(slow, self.seconds, "of slow answers")


@dataclass(frozen=True)
class OfPhase:
    """A claim about the shares of one phase, or (None) of the whole run."""

    claim: ShareOfRequests | ShareOfUsers
    phase: str | None = None

    def check(self, findings: Findings) -> Ruling:
        return self.claim.check(_figures(findings, self.phase))


@dataclass(frozen=True)
class ServedBy:
    """So many different nodes answered in a phase: what was scaled out does its share of the work."""

    nodes: int
    phase: str | None = None

    def check(self, findings: Findings) -> Ruling:
        seen = _figures(findings, self.phase).nodes
        if len(seen) >= self.nodes:
            return HOLDS
        return broken(f"answered by {', '.join(seen) or 'no node'} alone{_in(self.phase)}; expected {self.nodes} nodes")


def _figures(findings: Findings, phase: str | None) -> PhaseFigures:
    return findings.total if phase is None else findings.phases.get(phase, PhaseFigures(seconds=0.0))


def _in(phase: str | None) -> str:
    return f" in the phase {phase!r}" if phase is not None else ""


def _enough(figures: PhaseFigures, phase: str | None, least: int) -> Ruling:
    if figures.operations < least:
        return not_enough(f"{figures.operations} operations{_in(phase)}; {least} are needed")
    return HOLDS


def _probed(findings: Findings, least: int, bound: float) -> Ruling | None:
    """None if every target was probed enough to tell what is longer than `bound` seconds."""
    if not findings.availability:
        return not_enough("there was no prober")
    for name, target in findings.availability.items():
        if target.probes < least:
            return not_enough(f"{target.probes} probes of {name}; {least} are needed")
        if target.late > bound:
            return not_enough(f"the prober of {name} was itself late by {target.late:.2f} s")
    return None


def _bounded(seconds: float, most: float, what: str) -> Ruling:
    return HOLDS if seconds <= most else broken(f"{seconds:.2f} s {what}; expected {most:g} s at most")


__all__ = [
    "EVERYTHING",
    "AtLeast",
    "AtMost",
    "Claim",
    "FailedAtMost",
    "GapWithin",
    "LatencyWithin",
    "NothingLost",
    "OfPhase",
    "Ruling",
    "ServedBy",
    "SlowWithin",
    "Verdict",
    "rule",
]
