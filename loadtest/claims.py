"""What an experiment says must hold, as numbers, held against what was seen.

Most are claims of the checker's, with the words for people (`Must`). Those in here need more than its findings: when
the fault began and ended, or single operations.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from loadtest.checker import claims as checked
from loadtest.checker.findings import Kind
from loadtest.failover.observed import Observed
from loadtest.ledger import Action, Outcome
from loadtest.shares import ShareOfRequests, ShareOfUsers
from loadtest.verdict import HOLDS, Ruling, broken, not_enough

MIN_PROBES = 50
DURING = "during"


class Claim(Protocol):
    """`text` is what people read: "no session is lost"."""

    @property
    def text(self) -> str: ...

    def check(self, seen: Observed) -> Ruling: ...


@dataclass(frozen=True)
class Must:
    """A claim over the checker's findings."""

    text: str
    claim: checked.Claim

    def check(self, seen: Observed) -> Ruling:
        return self.claim.check(seen.findings)


NOTHING_LOST = Must("no session, update or logout is lost", checked.NothingLost())
NO_SESSION_LOST = Must(
    "no session is lost, no logout revived", checked.NothingLost((Kind.SESSION_LOST, Kind.REVIVED, Kind.CROSSED))
)
NO_FAILED_REQUEST = Must("no request fails", checked.FailedAtMost())
NO_FAILED_GET = Must("no GET fails", checked.FailedAtMost(gets=True))
NO_UPDATE_LOST = Must("no update is lost, however the writes fall", checked.NothingLost(min_requests=200, min_users=4))
"""For a few users each of whom is several at once."""


def share_of_requests(share: float, words: str) -> Must:
    return Must(
        f"{words} of the requests find their user logged out", checked.OfPhase(ShareOfRequests(share, words), DURING)
    )


def share_of_users(share: float, words: str) -> Must:
    return Must(f"{words} of the users lose their session", checked.OfPhase(ShareOfUsers(share, words)))


def gap_within(seconds: float) -> Must:
    return Must(f"no gap longer than {seconds:g} s", checked.GapWithin(seconds, MIN_PROBES))


def served_by(nodes: int) -> Must:
    return Must(f"{nodes} nodes serve", checked.ServedBy(nodes))


@dataclass(frozen=True)
class LogoutsStay:
    """Nothing is lost or revived, in so many races of a logout with writes of its session."""

    races: int = 10
    text: str = "whoever logs out stays so, however the writes fall"

    def check(self, seen: Observed) -> Ruling:
        ruling = checked.NothingLost(min_requests=0, min_users=1).check(seen.findings)
        logouts = sum(op.action is Action.LOGOUT and op.outcome is Outcome.OK for op in seen.ops)
        if ruling == HOLDS and logouts < self.races:
            return not_enough(f"{logouts} logouts; {self.races} are needed")
        return ruling


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
            reasons = ", ".join(f"{count} x {what}" for what, count in total.failures.items())
            return broken(f"more than {bound} writes failed: {reasons}")
        return HOLDS


@dataclass(frozen=True)
class LostAtMost:
    """At most as much is lost as was acknowledged in the last `seconds` before the fault."""

    seconds: float

    @property
    def text(self) -> str:
        return f"at most the last {self.seconds:g} s of writes are lost"

    def check(self, seen: Observed) -> Ruling:
        found = seen.findings
        bound = seen.acknowledged(seen.times.fault - self.seconds, seen.times.fault)
        lost = found.updates_lost + found.sessions_lost + found.revived
        if lost > bound:
            return broken(f"{lost} writes lost, of {bound} acknowledged in the last {self.seconds:g} s")
        return HOLDS if bound else not_enough("nothing was written in that time")


@dataclass(frozen=True)
class SomethingLost:
    """Acknowledged writes are lost: what another variant is guarded against does happen."""

    text: str = "acknowledged writes are lost"

    def check(self, seen: Observed) -> Ruling:
        found = seen.findings
        lost = found.updates_lost + found.sessions_lost + found.revived
        return HOLDS if lost else broken("nothing was lost; expected a loss")


@dataclass(frozen=True)
class WritesRefused:
    """Writes fail while the fault is there: nothing is confirmed that could not be kept."""

    text: str = "writes are refused, and say so"

    def check(self, seen: Observed) -> Ruling:
        figures = seen.findings.phases.get(DURING)
        if figures is None or not figures.failed_writes:
            return broken("no write was refused; the fault had no effect")
        return HOLDS
