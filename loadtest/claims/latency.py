"""Claims about times and load: how long an answer takes, and how much is served."""

from collections.abc import Iterable

from loadtest.checker.figures import percentile
from loadtest.claims.availability import split_during
from loadtest.claims.claim import (
    MIN_PROBES,
    SESSION,
    SITE,
    Claim,
    ClaimResult,
    Observed,
    Sight,
    broken,
    holds,
    not_enough,
    require,
)
from loadtest.history import OpOutcome, Probe

_SLOW = 0.5
"""Seconds after which an answer to a probe is slow."""
_APART = 1.0
"""Seconds between two slow probes that belong to different windows."""


def goodput(share: float, best: str, overload: float) -> Claim:
    """The claim that during the fault good answers are at least this share of those in the phase `best`, per second.

    Answers count by when they came. There must have been `overload` times as many as good ones at best: where the load
    generator lacks the time to send that much, the cluster is not overloaded.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        limit, window = seen.within(best).figures, seen.during
        answered = [op for op in seen.ops if op.status and window.begin <= op.ended < window.end]
        rate = len(answered) / window.seconds
        good = sum(op.outcome is OpOutcome.OK for op in answered) / window.seconds
        if rate < overload * limit.goodput:
            return not_enough(f"{rate:.0f} requests a second were answered or refused, of {limit.goodput:.0f} at best")
        rates = f"{good:.0f} good answers a second, of {limit.goodput:.0f} at best"
        if good < share * limit.goodput:
            return broken(rates)
        return require(limit.ok, 300, f"good answers in {best}", rates)

    return Claim(f"goodput, the good answers a second, is at least {share:.0%} of the best", evaluate)


def served_within(seconds: float) -> Claim:
    """The claim that during the fault 99 of 100 good answers come within this time, measured by the prober.

    A load generator that sends more than it has the time for sees its own delay: even refusals, which nginx answers at
    once, wait in it for seconds. The prober is a process of its own that sends little.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        window = seen.during
        probes = [p for p in seen.probes if p.target == SESSION and window.begin <= p.started < window.end]
        late = max((probe.late for probe in probes), default=0.0)
        if late > seconds:
            return not_enough(f"the prober was itself late by {late:.2f} s")
        times = [probe.ended - probe.started for probe in probes if probe.outcome is OpOutcome.OK]
        p99 = percentile(times, 0.99)
        if len(times) >= MIN_PROBES and p99 > seconds:
            return broken(f"p99 of good answers {p99:.2f} s; expected {seconds:g} s at most")
        return require(len(times), MIN_PROBES, "good answers to probes", f"{p99:.2f} s")

    return Claim(f"good answers come within {seconds:g} s (p99)", evaluate)


def users_within(seconds: float) -> Claim:
    """The claim that during the fault 99 of 100 requests of users, not of those who arrive, take at most this long."""

    def evaluate(seen: Observed) -> ClaimResult:
        users, _ = split_during(seen)
        p99 = percentile((op.ended - op.started for op in users), 0.99)
        if p99 > seconds:
            return broken(f"p99 of the users' requests {p99:.2f} s; expected {seconds:g} s at most")
        return require(len(users), 100, "requests of users", f"{p99:.2f} s")

    return Claim(f"users are answered within {seconds:g} s (p99)", evaluate)


def slow_window(seconds: float) -> Claim:
    """The claim that probes are answered later than 0.5 s for at most this long in one window: then the node is out.

    nginx sends the node a request from time to time, to see whether it is back: a window of its own.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        longest = longest_slow_window(seen.probes, _SLOW)
        if longest > seconds:
            return broken(f"answers took more than {_SLOW:g} s for {longest:.2f} s; expected {seconds:g} s at most")
        return require(sum(1 for _ in seen.probes), MIN_PROBES, "probes", f"{longest:.2f} s")

    return Claim(f"answers are slow for at most {seconds:g} s", evaluate)


def bounded(seconds: float) -> Claim:
    """The claim that each request made during the fault gets its answer, good or not, within this time."""

    def evaluate(seen: Observed) -> ClaimResult:
        asked = [op for op in seen.ops if seen.times.fault <= op.started < seen.times.undo]
        slowest = max((op.ended - op.started for op in asked), default=0.0)
        if slowest > seconds:
            return broken(f"an answer took {slowest:.2f} s; expected {seconds:g} s at most")
        return require(len(asked), 20, "requests during the fault", f"the slowest took {slowest:.2f} s")

    return Claim(f"every answer within {seconds:g} s", evaluate)


def answered_within(seconds: float) -> Claim:
    """The claim that every request of the whole run gets its answer, good or not, within this time."""

    def evaluate(seen: Observed) -> ClaimResult:
        slowest = seen.figures.slowest / 1000
        if slowest > seconds:
            return broken(f"an answer took {slowest:.2f} s; expected {seconds:g} s at most")
        return holds(f"the slowest took {slowest:.2f} s")

    return Claim(f"every answer of the run within {seconds:g} s", evaluate)


def site_fast(seconds: float) -> Claim:
    """The claim that pages without a session stay fast during the fault: 99 of 100 probes, and no probe fails."""

    def evaluate(seen: Observed) -> ClaimResult:
        probes = [p for p in seen.probes if p.target == SITE and seen.times.fault <= p.started < seen.times.undo]
        if failed := sum(probe.outcome is not OpOutcome.OK for probe in probes):
            return broken(f"{failed} probes failed")
        p99 = percentile((probe.ended - probe.started for probe in probes), 0.99)
        if len(probes) >= MIN_PROBES and p99 > seconds:
            return broken(f"p99 {p99:.2f} s; expected {seconds:g} s at most")
        return require(len(probes), MIN_PROBES, "probes", f"p99 {p99:.3f} s, and no probe failed")

    return Claim(f"pages without a session are answered within {seconds:g} s", evaluate, sights=(Sight.SITE,))


def longest_slow_window(probes: Iterable[Probe], slow: float) -> float:
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
