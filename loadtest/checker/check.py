"""A history in, findings out. Pure: no network, no clock, no file."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from loadtest.checker.availability import availability
from loadtest.checker.figures import figures
from loadtest.checker.findings import Evidence, Findings, Kind, PhaseFigures
from loadtest.checker.logins import Expiry
from loadtest.checker.phases import Phases
from loadtest.checker.session import Judged, judge_session
from loadtest.history import End, Event, Header, Mark, Note, Op, Probe

EXAMPLES = 10
SLOW_AFTER = 1.0


def check(events: Iterable[Event], *, examples: int = EXAMPLES, slow_after: float = SLOW_AFTER) -> Findings:
    """Judge a history, whose events may come in any order.

    `examples` is how many of each kind of evidence the findings name, `slow_after` from how many seconds on an answer
    to the prober is slow.
    """
    ops: list[Op] = []
    probes: dict[str, list[Probe]] = defaultdict(list)
    marks: list[Mark] = []
    title, expiry, complete = "", Expiry(None, None), False
    for event in events:
        match event:
            case Op():
                ops.append(event)
            case Probe():
                probes[event.target].append(event)
            case Mark():
                marks.append(event)
            case Header():
                title, expiry = event.title, Expiry(event.idle_timeout, event.lifetime)
            case End():
                complete = True
            case Note():
                pass
    judged = _sessions(ops, expiry)
    counts = {kind: sum(one.count for one in judged.evidence if one.kind is kind) for kind in Kind}
    return Findings(
        title=title,
        complete=complete,
        total=figures(_seconds(ops), ops, judged.told, judged.evidence),
        phases=dict(_phases(ops, judged, marks)),
        sessions=len({op.session for op in ops}),
        sessions_lost=counts[Kind.SESSION_LOST],
        users_lost=len({one.who for one in judged.evidence if one.kind is Kind.SESSION_LOST}),
        updates_lost=counts[Kind.UPDATE_LOST],
        stale_reads=counts[Kind.STALE_READ],
        revived=counts[Kind.REVIVED],
        crossed=counts[Kind.CROSSED],
        examples={kind: _first(judged.evidence, kind, examples) for kind in Kind if counts[kind]},
        availability={target: availability(seen, slow_after) for target, seen in sorted(probes.items())},
    )


def _sessions(ops: Iterable[Op], expiry: Expiry) -> Judged:
    sessions: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        sessions[op.session].append(op)
    result = Judged()
    for session in sessions.values():
        judged = judge_session(session, expiry)
        result.evidence += judged.evidence
        result.told += judged.told
    result.evidence.sort(key=lambda one: one.at)
    return result


def _phases(ops: list[Op], judged: Judged, marks: list[Mark]) -> Iterator[tuple[str, PhaseFigures]]:
    phases = Phases.of(marks, end=max((op.ended for op in ops), default=0.0))
    by_phase: dict[str | None, list[Op]] = defaultdict(list)
    told: dict[str | None, list[tuple[Op, bool]]] = defaultdict(list)
    evidence: dict[str | None, list[Evidence]] = defaultdict(list)
    for op in ops:
        by_phase[phases.of_op(op.started, op.ended)].append(op)
    for op, anonymous in judged.told:
        told[phases.of_op(op.started, op.ended)].append((op, anonymous))
    for one in judged.evidence:
        evidence[phases.at(one.at)].append(one)
    for name, windows in phases.windows().items():
        seconds = sum(window.seconds for window in windows)
        yield name, figures(seconds, by_phase[name], told[name], evidence[name])


def _seconds(ops: list[Op]) -> float:
    return max(op.ended for op in ops) - min(op.started for op in ops) if ops else 0.0


def _first(evidence: list[Evidence], kind: Kind, most: int) -> tuple[Evidence, ...]:
    return tuple(one for one in evidence if one.kind is kind)[:most]
