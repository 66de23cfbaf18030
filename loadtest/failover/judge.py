"""From what was written down of a run to its result: one history, the checker's findings, a ruling on each claim."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from loadtest.arrival import ARRIVAL
from loadtest.checker.check import check
from loadtest.checker.findings import Findings
from loadtest.checker.phases import INSTANTS
from loadtest.experiment import Case
from loadtest.failover.observed import Observed, Times
from loadtest.failover.trial import Effort, Trial
from loadtest.history import VERSION, Event, Header, Note, Op, Probe, assemble, read
from loadtest.protocol import Mix
from loadtest.results import (
    HISTORY,
    Held,
    Result,
    Timing,
    describe,
    machine,
    verdict_of,
    versions,
)
from loadtest.verdict import HOLDS, Ruling, Verdict, broken, not_enough

BEFORE, END = "before", "end"


def judge(trial: Trial, folder: Path, run: int, command: str) -> Result:
    """Writes the history into `folder` and holds it against the claims. Raises OSError and HistoryError."""
    if trial.unsteady:
        ruling = Held(
            claim="the cluster is well before the fault", verdict=Verdict.NOT_ENOUGH_DATA, reason=trial.unsteady
        )
        return _result(trial, run, command, (ruling,), None)
    path = folder / HISTORY
    assemble(path, _header(trial), *_parts(trial))
    events = list(read(path))
    findings = check(events)
    seen = Observed(
        findings,
        [event for event in events if isinstance(event, Op)],
        [event for event in events if isinstance(event, Probe)],
        Times(trial.when("fault"), trial.when("undo"), trial.undone),
    )
    claims = [_held("steady before the fault", _steady(trial, findings))]
    claims += [_held(claim.text, claim.check(seen)) for claim in trial.case.variant.claims]
    claims.append(_held("well again after it", broken(trial.unwell) if trial.unwell else HOLDS))
    return _result(trial, run, command, tuple(claims), findings)


def failure(case: Case, effort: Effort, run: int, command: str, reason: str) -> Result:
    """The result of a run that could not be brought to its end."""
    trial = Trial(case, effort, Path())
    ruling = Held(claim="it can be run", verdict=Verdict.NOT_ENOUGH_DATA, reason=reason)
    return _result(trial, run, command, (ruling,), None)


def _parts(trial: Trial) -> Iterator[Iterable[Event]]:
    yield read(trial.operations)
    yield trial.probes
    yield [mark for mark in trial.marks if mark.name in INSTANTS]
    yield [Note(trial.faulty, "the fault is applied"), Note(trial.undone, "the fault is undone")]


def _header(trial: Trial) -> Header:
    return Header(
        version=VERSION,
        title=trial.case.title,
        started=trial.started,
        cluster=describe(trial.case.spec),
    )


def _steady(trial: Trial, findings: Findings) -> Ruling:
    """Not what must hold, but what makes the rest worth looking at; where it is not so, nothing is known."""
    if trial.case.experiment.mix is Mix.LOGOUT_RACE:
        return HOLDS  # which is never steady: whoever writes after the logout is told that there is no session
    for phase in (ARRIVAL, BEFORE):
        if (figures := findings.phases.get(phase)) is not None and figures.failed:
            reasons = ", ".join(f"{count} x {what}" for what, count in figures.failures.items())
            return not_enough(f"requests failed already: {reasons}")
    return HOLDS


def _held(claim: str, ruling: Ruling) -> Held:
    return Held(claim=claim, verdict=ruling.verdict, reason=ruling.reason)


def _result(trial: Trial, run: int, command: str, claims: tuple[Held, ...], findings: Findings | None) -> Result:
    case, ruling = trial.case, verdict_of(claims)
    experiment, variant = case.experiment, case.variant
    return Result(
        number=experiment.number,
        name=experiment.name,
        variant=variant.name,
        position=experiment.variants.index(variant),
        run=run,
        title=case.title,
        hypothesis=experiment.hypothesis,
        reference=case.reference,
        fault=variant.fault.what,
        mix=experiment.mix,
        place=trial.case.place,
        users=trial.users,
        verdict=ruling.verdict,
        reason=ruling.reason,
        claims=claims,
        timing=_timing(trial) if findings is not None else None,
        findings=findings,
        generator_cpu=trial.generator_cpu,
        cluster=describe(case.spec),
        versions=versions(trial.versions),
        machine=machine(),
        command=command,
    )


def _timing(trial: Trial) -> Timing:
    return Timing(
        started=trial.started,
        before=trial.when(BEFORE),
        fault=trial.when("fault"),
        faulty=trial.faulty,
        undo=trial.when("undo"),
        undone=trial.undone,
        ended=trial.when(END),
    )
