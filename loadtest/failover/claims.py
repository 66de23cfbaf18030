"""What an experiment says must hold, as numbers, held against what was seen.

A loss is a fact, and one is enough; that there is none needs some data: below the amounts here, the verdict is
NOT_ENOUGH_DATA. Zero losses in n requests leave, by the rule of three, a loss rate of 3/n possible (95 %).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from loadtest.checker.findings import Kind, PhaseFigures
from loadtest.failover.observed import Observed
from loadtest.failover.windows import longest_slow
from loadtest.ledger import Outcome
from loadtest.verdict import HOLDS, Ruling, broken, not_enough

MIN_REQUESTS = 60
DURING = "during"


class Claim(Protocol):
    """`text` is what people read: "no session is lost"."""

    @property
    def text(self) -> str: ...

    def check(self, seen: Observed) -> Ruling: ...


@dataclass(frozen=True)
class NothingLost:
    """No session, no update, no logout; nobody in somebody else's session, and nothing old after something newer."""

    text: str = "no session, update or logout is lost"

    def check(self, seen: Observed) -> Ruling:
        return _none_of(seen, Kind)


@dataclass(frozen=True)
class NoSessionLost:
    """Nobody is logged out who did not log out, nobody is logged in again who did. Updates may be lost."""

    text: str = "no session is lost, no logout revived"

    def check(self, seen: Observed) -> Ruling:
        return _none_of(seen, (Kind.SESSION_LOST, Kind.REVIVED, Kind.CROSSED))


@dataclass(frozen=True)
@dataclass(frozen=True)
class NoFailedRequest:
    """No request failed: no 5xx, no broken connection."""

    text: str = "no request fails"

    def check(self, seen: Observed) -> Ruling:
        failed = seen.findings.total.failures
        return broken(f"failed: {_reasons(failed)}") if failed else _amount(seen.findings.total)


@dataclass(frozen=True)
class NoFailedGet:
    """No GET failed, because the proxy asks another node. A POST that was sent is never repeated."""

    text: str = "no GET fails"

    def check(self, seen: Observed) -> Ruling:
        total = seen.findings.total
        return broken(f"GETs failed: {_reasons(total.failures)}") if total.failed_gets else _amount(total)


@dataclass(frozen=True)
class FewFailedWrites:
    """Writes fail that were in flight on the node that died; each user has at most one, and mostly none.

    So a tenth of the users, and one at least, is a generous bound.
    """

    text: str = "only writes in flight fail, for a tenth of the users at most"

    def check(self, seen: Observed) -> Ruling:
        total = seen.findings.total
        bound = max(1, math.ceil(total.users / 10))
        if total.failed_writes > bound:
            return broken(f"more than {bound} writes failed: {_reasons(total.failures)}")
        return HOLDS


@dataclass(frozen=True)
class ShareOfRequests:
    """About this share of the answers to users who must be logged in shows that they are not.

    The tolerance is 2.58 standard deviations of a binomial share (99 % of all runs), plus 0.05 for turns that are
    dealt strictly. From 150 answers on that is 0.155 at most, less than the sixth between a half and a third.
    """

    share: float
    words: str
    min_requests: int = 150

    @property
    def text(self) -> str:
        return f"{self.words} of the requests find the user logged out"

    def check(self, seen: Observed) -> Ruling:
        figures = seen.findings.total
        if figures.as_logged_in < self.min_requests:
            return _amount(figures, self.min_requests)
        tolerance = 0.05 + 2.58 * math.sqrt(self.share * (1 - self.share) / figures.as_logged_in)
        if abs(figures.share_logged_out - self.share) <= tolerance:
            return HOLDS
        return broken(
            f"{figures.share_logged_out:.0%} of {figures.as_logged_in:,} answers show the user logged out; "
            f"expected {self.words} ({self.share:.0%}, give or take {tolerance:.0%})"
        )


@dataclass(frozen=True)
class ShareOfUsers:
    """About this share of the users lose their session. nginx deals new clients out in turn, so two standard
    deviations of a binomial share are wide enough; with fewer than 15 users the lower bound would be nobody."""

    share: float
    words: str
    min_users: int = 15

    @property
    def text(self) -> str:
        return f"{self.words} of the users lose their session"

    def check(self, seen: Observed) -> Ruling:
        users, lost = seen.findings.total.users, seen.findings.users_lost
        if users < self.min_users:
            return not_enough(f"{users} users; {self.min_users} are needed")
        mean, spread = users * self.share, 2 * math.sqrt(users * self.share * (1 - self.share))
        low, high = math.ceil(mean - spread), math.floor(mean + spread)
        if low <= lost <= high:
            return HOLDS
        return broken(f"{lost} of {users} users lost a session; expected {self.words} ({low} to {high})")


@dataclass(frozen=True)
class LostAtMost:
    """At most as many updates and sessions are lost as were acknowledged in the last `seconds` before the fault."""

    seconds: float

    @property
    def text(self) -> str:
        return f"at most the last {self.seconds:g} s of writes are lost"

    def check(self, seen: Observed) -> Ruling:
        found = seen.findings
        wrong = _none_of(seen, (Kind.CROSSED,))
        if wrong != HOLDS:
            return wrong
        bound = seen.acknowledged(seen.times.fault - self.seconds, seen.times.fault)
        lost = found.updates_lost + found.sessions_lost + found.revived
        if lost > bound:
            return broken(f"{lost} writes lost, of {bound} acknowledged in the last {self.seconds:g} s")
        return not_enough("nothing was written in that time") if not bound else HOLDS


@dataclass(frozen=True)
class SomethingLost:
    """Acknowledged writes are lost: what the other variant is guarded against does happen."""

    text: str = "acknowledged writes are lost"

    def check(self, seen: Observed) -> Ruling:
        found = seen.findings
        if found.updates_lost + found.sessions_lost + found.revived:
            return HOLDS
        return broken("nothing was lost; expected a loss")


@dataclass(frozen=True)
class GapWithin:
    """The prober is never without a good answer for longer than that. It must have been on time to say so."""

    seconds: float
    min_probes: int = 50

    @property
    def text(self) -> str:
        return f"no gap longer than {self.seconds:g} s"

    def check(self, seen: Observed) -> Ruling:
        if seen.findings.gap > self.seconds:
            return broken(f"no good answer for {seen.findings.gap:.2f} s; at most {self.seconds:g} s expected")
        return _on_time(seen, self.min_probes)


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
        return _on_time(seen, 50)


@dataclass(frozen=True)
class SlowWindow:
    """Answers take longer than `slow` seconds for at most so long at a stretch: then the node is taken out.

    Once in a while nginx sends it one request to see whether it is back, which is slow as well, and by itself.
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
        return _on_time(seen, 50)


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
    """What needs no session stays fast: 99 of 100 probes of it."""

    seconds: float

    @property
    def text(self) -> str:
        return f"what needs no session is answered within {self.seconds:g} s"

    def check(self, seen: Observed) -> Ruling:
        times = sorted(
            probe.ended - probe.started for probe in seen.probes if seen.times.fault <= probe.started < seen.times.undo
        )
        if len(times) < 50:
            return not_enough(f"{len(times)} probes; 50 are needed")
        p99 = times[math.ceil(0.99 * len(times)) - 1]
        failed = sum(probe.outcome is not Outcome.OK for probe in seen.probes)
        if failed:
            return broken(f"{failed} probes failed")
        return broken(f"p99 {p99:.2f} s; {self.seconds:g} s expected") if p99 > self.seconds else HOLDS


@dataclass(frozen=True)
class WritesRefused:
    """Writes fail while the fault is there, every one of them for certain: nothing is confirmed and forgotten."""

    text: str = "writes are refused, and say so"

    def check(self, seen: Observed) -> Ruling:
        figures = seen.findings.phases.get(DURING)
        if figures is None or not figures.failed_writes:
            return broken("no write was refused; the fault had no effect")
        return HOLDS


@dataclass(frozen=True)
class ServedBy:
    """So many different nodes answered while the fault was there: what was scaled out does its share of the work."""

    nodes: int

    @property
    def text(self) -> str:
        return f"{self.nodes} nodes serve"

    def check(self, seen: Observed) -> Ruling:
        nodes = {op.node for op in seen.from_fault_to_undo() if op.node}
        if len(nodes) >= self.nodes:
            return HOLDS
        return broken(f"answered by {', '.join(sorted(nodes)) or 'no node'} alone; expected {self.nodes} nodes")


def _none_of(seen: Observed, kinds: Iterable[Kind], min_requests: int = MIN_REQUESTS) -> Ruling:
    found = {kind: seen.findings.count(kind) for kind in kinds}
    wrong = ", ".join(f"{count:,} x {kind}" for kind, count in found.items() if count)
    return broken(f"{wrong}; expected none") if wrong else _amount(seen.findings.total, min_requests)


def _amount(figures: PhaseFigures, min_requests: int = MIN_REQUESTS) -> Ruling:
    if figures.as_logged_in < min_requests:
        return not_enough(f"{figures.as_logged_in} answers to logged-in users; {min_requests} are needed")
    return HOLDS


def _on_time(seen: Observed, min_probes: int) -> Ruling:
    if len(seen.probes) < min_probes:
        return not_enough(f"{len(seen.probes)} probes; {min_probes} are needed")
    return HOLDS


def _reasons(failures: dict[str, int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in failures.items())
