"""Operations counted, for a phase or for a whole run."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from loadtest.checker.findings import Evidence, PhaseFigures
from loadtest.history import STOPPED, Op
from loadtest.ledger import Outcome


def percentile(seconds: Sequence[float], share: float) -> float:
    """The least time that at least this share (0 to 1) stays within, in ms; 0 of none."""
    if not seconds:
        return 0.0
    rank = max(math.ceil(share * len(seconds)), 1)
    return round(sorted(seconds)[rank - 1] * 1000, 3)


def is_failure(op: Op) -> bool:
    """The service failed, as HTTP: not a write that was refused with good reason, nor one that we gave up ourselves."""
    return op.error != STOPPED and (op.outcome is Outcome.UNKNOWN or op.error != "")


def figures(
    seconds: float, ops: Sequence[Op], told: Iterable[tuple[Op, bool]], evidence: Iterable[Evidence]
) -> PhaseFigures:
    """Figures over these operations, the answers among them that tell who is logged in, and what is wrong."""
    failed = [op for op in ops if is_failure(op)]
    reads = sum(op.method == "GET" for op in failed)
    answers = list(told)
    out = [op for op, anonymous in answers if anonymous]
    times = [op.ended - op.started for op in ops]
    found: Counter[str] = Counter()
    for one in evidence:
        found[one.kind] += one.count
    return PhaseFigures(
        seconds=round(seconds, 3),
        users=len({op.who for op in ops}),
        operations=len(ops),
        ok=sum(op.outcome is Outcome.OK for op in ops),
        failed=len(failed),
        fail=sum(op.outcome is Outcome.FAIL for op in failed),
        unknown=sum(op.outcome is Outcome.UNKNOWN for op in failed),
        failed_gets=reads,
        failed_writes=len(failed) - reads,
        failures=_sorted(f"{op.method} {op.path}: {op.error or op.outcome}" for op in failed),
        as_logged_in=len(answers),
        logged_out=len(out),
        users_logged_out=len({op.who for op in out}),
        retried=sum("," in op.upstream_status for op in ops),
        nodes=_sorted(op.node for op in ops if op.node),
        found={kind: found[kind] for kind in sorted(found)},  # type: ignore[misc]  # a Kind is a str
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        p999=percentile(times, 0.999),
        slowest=percentile(times, 1.0),
    )


def _sorted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
