"""Claims: statements with numbers that must hold after a run, and the verdict on each.

Too little data supports nothing: it is NOT_ENOUGH_DATA, never HOLDS. A loss is a fact and needs no amount of data. What
a target does not show can't be found there: it is NOT_LOOKED_FOR, never HOLDS.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

from loadtest.checker import Findings, Kind, PhaseFigures, Window
from loadtest.checker.phases import DURING
from loadtest.history import Op, Probe
from loadtest.processes import ProcessChange

MIN_PROBES, MIN_LOGINS = 50, 20
UNAVAILABLE = 503
SITE, SESSION = "site", "session"
"""Endpoints of the prober: a page without a session, and one that reads the store."""


class Verdict(StrEnum):
    """From best to worst."""

    NOT_LOOKED_FOR = "not looked for"
    """It says nothing about the run."""
    HOLDS = "holds"
    NOT_ENOUGH_DATA = "not enough data"
    BROKEN = "broken"


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a claim, and in a few words what was seen, or unless it holds the reason.

    `phase` is empty for a claim about the whole run.
    """

    claim: str = ""
    phase: str = ""
    verdict: Verdict
    reason: str = ""
    seen: str = ""

    def named(self, claim: str, phase: str = "") -> "ClaimResult":
        return msgspec.structs.replace(self, claim=claim, phase=phase)

    @property
    def holds(self) -> bool:
        return self.verdict is Verdict.HOLDS


def holds(seen: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.HOLDS, seen=seen)


def broken(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.BROKEN, reason=reason)


def not_enough(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.NOT_ENOUGH_DATA, reason=reason)


def not_looked_for(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.NOT_LOOKED_FOR, reason=reason)


def require(count: int, needed: int, what: str, seen: str = "") -> ClaimResult:
    """Return HOLDS with what was `seen` if there is enough data, otherwise NOT_ENOUGH_DATA."""
    return holds(seen) if count >= needed else not_enough(f"{count} {what}; {needed} are needed")


def worst(results: Iterable[ClaimResult]) -> ClaimResult:
    """Return the worst verdict, with the reasons of all results that have it. HOLDS for no results.

    NOT_LOOKED_FOR is that of results of which none is anything else.
    """
    order, ranked = list(Verdict), list(results)
    verdict = max((result.verdict for result in ranked), key=order.index, default=Verdict.HOLDS)
    reasons = (
        f"{where}: {result.reason}" if (where := result.phase or result.claim) else result.reason
        for result in ranked
        if result.verdict is verdict and result.reason
    )
    return ClaimResult(verdict=verdict, reason="; ".join(reasons))


class Sight(StrEnum):
    """A property that answers show, beside losses: a claim about it needs a target that shows it."""

    NODES = "nodes"
    """Which node answered."""
    SITE = "site"
    """A page without a session."""
    COUNTS = "counts lost"
    """The counter, where the list alone shows which updates are lost."""
    ADDS = "adds lost"
    """The list, where the counter alone does."""


Lacks = Mapping[Kind | Sight, str]
"""What a target does not show, each with the reason in one line."""

NOTHING_OF: Mapping[Kind | Sight, str] = {
    Kind.SESSION_LOST: "no session is lost",
    Kind.UPDATE_LOST: "no update is lost",
    Kind.EMPTYING_UNDONE: "no emptied cart is full again",
    Kind.STALE_READ: "no old value is shown",
    Kind.MISDIRECTED: "no write is in another session",
    Kind.REVIVED: "no logout is undone",
    Kind.PASSWORD_UNDONE: "no change of password is undone",
    Kind.CROSSED: "no answer has data of another user",
    Sight.COUNTS: "no count is lost",
    Sight.ADDS: "no added item is lost",
}

UPDATES = (Sight.COUNTS, Sight.ADDS)
"""The parts of lost updates that a target may not show."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """In epoch seconds. The fault is applied from `fault` to `faulty`, and undone from `undo` to `undone`."""

    started: float
    before: float
    fault: float
    faulty: float
    undo: float
    undone: float
    ended: float


@dataclass(frozen=True)
class Observed:
    """Evidence of one run: the checker's findings, and for claims that need operations the history and its times.

    Claims go through `ops` and `probes` one by one, as often as they like: they may be read from the file each time.
    `phase` limits the figures to one phase; None: the whole run.
    """

    findings: Findings
    ops: Iterable[Op] = ()
    probes: Iterable[Probe] = ()
    timing: Timing | None = None
    processes: tuple[ProcessChange, ...] = ()
    phase: str | None = None
    lacks: Lacks = field(default_factory=dict)

    def within(self, phase: str | None) -> "Observed":
        """Limit the figures to one phase. With None return this evidence."""
        return self if phase is None else replace(self, phase=phase)

    @property
    def figures(self) -> PhaseFigures:
        if self.phase is None:
            return self.findings.total
        return self.findings.phases.get(self.phase, PhaseFigures(seconds=0.0))

    @property
    def times(self) -> Timing:
        assert self.timing is not None, "claims about times need a run with phases"
        return self.timing

    @property
    def during(self) -> Window:
        """The window of the phase DURING, which ends with the undo."""
        end = self.times.undone
        return Window(end - self.within(DURING).figures.seconds, end)

    def count(self, kind: Kind) -> int:
        return self.figures.found.get(kind, 0)

    @property
    def lost_writes(self) -> int:
        """Updates, sessions, logouts and changes of passwords that were acknowledged and are lost."""
        found = self.findings
        return found.updates_lost + found.misdirected + found.sessions_lost + found.revived + found.passwords_undone


@dataclass(frozen=True)
class Claim:
    """Something that must hold; `text` is for people: "no session is lost".

    `min_requests` is the number of requests of logged-in users that it needs before it can hold, and `min_users` that
    of the users. With `phase` its
    figures are those of this phase. `kinds` are the losses that it is about: on a target that shows none of them it is
    not looked for, and of some of them it is a claim about the others. All `sights` are needed. `premise` is what it
    supposes of a cluster ("each node has sessions of its own"): it says nothing about others.
    """

    text: str
    evaluate: Callable[[Observed], ClaimResult]
    min_requests: int = 0
    phase: str | None = None
    kinds: tuple[Kind, ...] = ()
    sights: tuple[Sight, ...] = ()
    premise: str = ""
    min_users: int = 0

    def within(self, phase: str) -> "Claim":
        """Return the claim about one phase alone."""
        return replace(self, phase=phase)

    def check(self, seen: Observed) -> ClaimResult:
        if reason := self.find_missing(seen.lacks):
            return not_looked_for(reason)
        return self.evaluate(seen.within(self.phase))

    def find_missing(self, lacks: Lacks) -> str:
        """Return why nothing of this claim can be looked for; empty if something can."""
        missing = [lacks[sight] for sight in self.sights if sight in lacks]
        if not missing and self.kinds and all(kind in lacks for kind in self.kinds):
            missing = [lacks[kind] for kind in self.kinds]
        return "; ".join(dict.fromkeys(missing))

    def describe(self, lacks: Lacks) -> str:
        """Return its text, as far as a target shows what it is about."""
        shown = [kind for kind in self.kinds if kind not in lacks]
        return self.text if len(shown) in {0, len(self.kinds)} else ", ".join(NOTHING_OF[kind] for kind in shown)


def evaluate(claims: Iterable[Claim], seen: Observed) -> tuple[ClaimResult, ...]:
    """Check each claim.

    A truncated history supports nothing: an operation in flight at its end might explain a loss.
    """
    if not seen.findings.complete:
        truncated = f"the history is truncated, after {seen.findings.total.operations} operations"
        return (not_enough(truncated).named("the history is complete"),)
    asked = tuple(claims)
    results = [claim.check(seen).named(claim.describe(seen.lacks)) for claim in asked]
    known = {result.claim for result in results}
    about = dict.fromkeys(kind for claim in asked for kind in claim.kinds)
    unseen = [what for what in (*about, *(UPDATES if Kind.UPDATE_LOST in about else ())) if what in seen.lacks]
    rest = [not_looked_for(seen.lacks[what]).named(NOTHING_OF[what]) for what in unseen]
    return (*results, *(one for one in rest if one.claim not in known))


def list_failures(failures: Mapping[str, int]) -> str:
    """Return the failures in words: "2 x POST /visits: status 502, 1 x ..."."""
    return ", ".join(f"{count} x {what}" for what, count in failures.items())


def require_answers(figures: PhaseFigures, min_requests: int, min_users: int, seen: str = "") -> ClaimResult:
    enough = require(figures.users, min_users, "users")
    answers = require(figures.as_logged_in, min_requests, "requests made while logged in", seen)
    return answers if enough.holds else enough
