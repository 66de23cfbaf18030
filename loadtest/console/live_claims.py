"""The claims of an experiment while it runs: each is judged as far as the findings of that moment allow.

Nothing here is a verdict: what holds so far may break, and a share that is not reached yet may be reached. A claim that
needs the whole history or its times can't be judged before the end.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NoReturn

import msgspec

from loadtest.checker import Findings
from loadtest.claims.claim import Claim, Lacks, Observed, Verdict
from loadtest.experiment import ARRIVAL, Case
from loadtest.faults import NOTHING
from loadtest.suite import STEADY_AFTER, check_before, name_before


class ClaimState(StrEnum):
    """How a claim stands while its experiment runs."""

    NOT_YET = "not_yet"
    """Its phase has not begun, there is too little data, or it needs the whole history."""
    SO_FAR = "so_far"
    NOT_SO_FAR = "not_so_far"
    UNSEEN = "unseen"
    """The target does not show it."""


class LiveClaim(msgspec.Struct, frozen=True):
    """A claim and what was seen so far; `phase` is empty for a claim about the whole run."""

    claim: str
    phase: str
    state: ClaimState
    seen: str = ""


class _NotYet(Exception):
    """A claim asked for what is known at the end alone."""


class _Later:
    """Stands for the operations, probes and times of a run that has not ended."""

    def __getattr__(self, name: str) -> NoReturn:
        raise _NotYet

    def __iter__(self) -> Iterator[Any]:
        raise _NotYet

    def __len__(self) -> int:
        raise _NotYet

    def __getitem__(self, index: Any) -> NoReturn:
        raise _NotYet


def judge_live(case: Case, findings: Findings | None, lacks: Lacks | None = None) -> tuple[LiveClaim, ...]:
    """Return all claims of a case as they stand, in the order of the result. None: there are no findings yet.

    `lacks` is what the target does not show.
    """
    unseen = lacks or {}
    by_phase = ((ARRIVAL, case.variant.arrival), *((phase.name, phase.claims) for phase in case.phases))
    begin = _find_begin(case)
    before = Claim(name_before(case), lambda seen: check_before(case, seen))
    found = [_judge(before, "", case.phases[0].name, findings, unseen)]
    found += [_judge(claim, phase, phase, findings, unseen) for phase, claims in by_phase for claim in claims]
    found += [_judge(claim, "", claim.phase or begin, findings, unseen) for claim in case.variant.claims]
    if case.fault != NOTHING.what:
        found.append(LiveClaim(STEADY_AFTER, "", ClaimState.NOT_YET))  # until it is undone, at the end
    return tuple(found)


def _find_begin(case: Case) -> str:
    """Return the phase from which on claims about the whole run are judged: that of the fault, or the last one."""
    phases = case.phases
    return next((phase.name for phase in phases if phase.fault.seconds), phases[-1].name)


def _judge(claim: Claim, phase: str, begin: str, findings: Findings | None, lacks: Lacks) -> LiveClaim:
    if why := claim.find_missing(lacks):
        return LiveClaim(claim.text, phase, ClaimState.UNSEEN, why)
    text = claim.describe(lacks)
    if findings is None or begin not in findings.phases:
        return LiveClaim(text, phase, ClaimState.NOT_YET)
    later: Any = _Later()
    seen = Observed(findings, ops=later, probes=later, timing=later).within(phase or None)
    try:
        result = claim.check(seen)
    except _NotYet:
        return LiveClaim(text, phase, ClaimState.NOT_YET)
    state = {Verdict.HOLDS: ClaimState.SO_FAR, Verdict.BROKEN: ClaimState.NOT_SO_FAR}.get(
        result.verdict, ClaimState.NOT_YET
    )
    return LiveClaim(text, phase, state, result.seen or result.reason)
