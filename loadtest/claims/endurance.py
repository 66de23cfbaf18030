"""The claim of a long run: at its end, what processes use and how long answers take is as at its beginning."""

from collections.abc import Iterator
from typing import NamedTuple

from deploy import Role
from loadtest.checker import PhaseFigures
from loadtest.claims.claim import Claim, ClaimResult, Observed, broken, holds, not_enough, require
from loadtest.processes import ProcessChange


class Tolerance(NamedTuple):
    """The bound of a figure at the end: `times` that of the beginning, and `more`."""

    times: float
    more: float

    def allows(self, begin: float, end: float) -> bool:
        return end <= self.times * begin + self.more

    def __str__(self) -> str:
        share = f"{self.times - 1:.0%} and " if self.times > 1 else ""
        return f"{share}{self.more:g}"


MEMORY, DESCRIPTORS, THREADS, LATENCY = Tolerance(1.2, 10), Tolerance(1.2, 10), Tolerance(1.2, 5), Tolerance(1.5, 10)
"""Memory in MB, latencies in ms. A Redis server fills a replication backlog of 10 MB; connections and the threads that
serve them come and go with the requests at that moment; on a machine with other work times vary from minute to minute.
"""
MIN_OPERATIONS = 1000
"""Of each of the two phases, for a p99 of ten."""


def as_at_the_beginning(first: str, last: str, seconds: float) -> Claim:
    """The claim that in the phase `last` no process uses more than in `first`, and no answer takes longer.

    It is about runs of at least these `seconds`: a shorter one has not grown anything yet.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        if (took := seen.times.ended - seen.times.before) < seconds:
            return holds(f"not compared: the run took {took:.0f} s, and {seconds:g} s are needed")
        begin, end = seen.within(first).figures, seen.within(last).figures
        if not seen.processes or not end.operations:
            return not_enough("the run ended before its last quiet phase")
        if grown := [*_list_grown(seen.processes), *_list_slower(begin, end)]:
            return broken("; ".join(grown))
        largest = max((one.end.memory - one.begin.memory for one in seen.processes), default=0.0)
        compared = f"{len(seen.processes)} processes, memory by {largest:+.1f} MB at most"
        compared += f"; p99 {begin.p99:.0f} ms, then {end.p99:.0f} ms"
        least = min(begin.operations, end.operations)
        return require(least, MIN_OPERATIONS, "operations in a quiet phase", compared)

    return Claim("processes and latencies are as at the beginning", evaluate)


def _list_grown(processes: tuple[ProcessChange, ...]) -> Iterator[str]:
    stores = [one for one in processes if one.role is Role.STORE]
    # Clients are connected to the primary, which is another server after a failover.
    connected = (sum(one.begin.descriptors for one in stores), sum(one.end.descriptors for one in stores))
    figures: list[tuple[str, str, Tolerance, float, float]] = [("the store", "descriptors", DESCRIPTORS, *connected)]
    for one in processes:
        figures += [
            (one.name, "MB", MEMORY, one.begin.memory, one.end.memory),
            (one.name, "threads", THREADS, one.begin.threads, one.end.threads),
        ]
        if one.role is not Role.STORE:
            figures.append((one.name, "descriptors", DESCRIPTORS, one.begin.descriptors, one.end.descriptors))
    for name, what, tolerance, begin, end in figures:
        if not tolerance.allows(begin, end):
            yield f"{name} has {end:g} {what}, and had {begin:g}; expected {tolerance} more at most"


def _list_slower(begin: PhaseFigures, end: PhaseFigures) -> Iterator[str]:
    for what, before, after in (("p50", begin.p50, end.p50), ("p99", begin.p99, end.p99)):
        if not LATENCY.allows(before, after):
            yield f"{what} is {after:.0f} ms, and was {before:.0f} ms; expected {LATENCY} ms more at most"
