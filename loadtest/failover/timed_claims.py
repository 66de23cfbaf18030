"""Claims about how long something took: for whoever asked, at a stretch, or until it was over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.claims import MIN_PROBES
from loadtest.failover.observed import Observed
from loadtest.failover.probes import SITE
from loadtest.failover.windows import longest_slow
from loadtest.history import STOPPED, Probe
from loadtest.ledger import Outcome
from loadtest.verdict import HOLDS, Ruling, broken, not_enough


@dataclass(frozen=True)
class RecoversWithin:
    """So long after the fault is undone, the prober gets good answers again, and goes on getting them."""

    seconds: float

    @property
    def text(self) -> str:
        return f"well again {self.seconds:g} s after the fault is gone"

    def check(self, seen: Observed) -> Ruling:
        late = [
            probe.started - seen.times.undone
            for probe in seen.probes
            if probe.outcome is not Outcome.OK and probe.started > seen.times.undone
        ]
        if max(late, default=0.0) > self.seconds:
            return broken(f"still failing {max(late):.2f} s after the fault was gone; {self.seconds:g} s expected")
        return _enough(seen.probes)


@dataclass(frozen=True)
class FailuresEndWithin:
    """So long after the fault, users' requests fail no more: for a store of which a part is gone, and with it some of
    the sessions, among which the prober's need not be."""

    seconds: float

    @property
    def text(self) -> str:
        return f"no request fails that is made {self.seconds:g} s after the fault, or later"

    def check(self, seen: Observed) -> Ruling:
        failed = [
            op.started - seen.times.fault
            for op in seen.ops
            if op.error not in {"", STOPPED} and op.started > seen.times.fault
        ]
        if max(failed, default=0.0) > self.seconds:
            return broken(f"one failed {max(failed):.2f} s after the fault; {self.seconds:g} s expected")
        return HOLDS if failed else not_enough("no request failed at all: nobody asked for what was gone")


@dataclass(frozen=True)
class SlowWindow:
    """Probes that are sent get answers later than `slow` seconds for at most so long at a stretch: then the node is
    taken out. Once in a while nginx sends it a request to see whether it is back, which is a stretch by itself.
    """

    seconds: float
    slow: float = 0.5

    @property
    def text(self) -> str:
        return f"answers are slow for at most {self.seconds:g} s"

    def check(self, seen: Observed) -> Ruling:
        found = longest_slow(seen.probes, self.slow)
        if found > self.seconds:
            return broken(f"answers took more than {self.slow:g} s for {found:.2f} s; {self.seconds:g} s expected")
        return _enough(seen.probes)


@dataclass(frozen=True)
class Bounded:
    """Whatever users ask while the fault is there is answered within this time, well or not."""

    seconds: float

    @property
    def text(self) -> str:
        return f"every answer within {self.seconds:g} s"

    def check(self, seen: Observed) -> Ruling:
        asked = seen.from_fault_to_undo()
        slowest = max((op.ended - op.started for op in asked), default=0.0)
        if slowest > self.seconds:
            return broken(f"an answer took {slowest:.2f} s; at most {self.seconds:g} s expected")
        return HOLDS if len(asked) >= 20 else not_enough(f"{len(asked)} requests; 20 are needed")


@dataclass(frozen=True)
class SiteFast:
    """What needs no session stays fast while the fault is there: 99 of 100 probes of it, and none fails."""

    seconds: float

    @property
    def text(self) -> str:
        return f"what needs no session is answered within {self.seconds:g} s"

    def check(self, seen: Observed) -> Ruling:
        probes = [
            probe
            for probe in seen.probes
            if probe.target == SITE and seen.times.fault <= probe.started < seen.times.undo
        ]
        times = sorted(probe.ended - probe.started for probe in probes)
        if failed := sum(probe.outcome is not Outcome.OK for probe in probes):
            return broken(f"{failed} probes failed")
        if len(times) < MIN_PROBES:
            return _enough(probes)
        p99 = times[math.ceil(0.99 * len(times)) - 1]
        return broken(f"p99 {p99:.2f} s; {self.seconds:g} s expected") if p99 > self.seconds else HOLDS


def _enough(probes: Sequence[Probe]) -> Ruling:
    if len(probes) < MIN_PROBES:
        return not_enough(f"{len(probes)} probes; {MIN_PROBES} are needed")
    return HOLDS
