"""What was seen of one run, for claims to be held against."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.checker.findings import Findings
from loadtest.history import Op, Probe
from loadtest.ledger import Action, Outcome

WRITES = frozenset({Action.LOGIN, Action.LOGOUT, Action.VISIT, Action.ADD, Action.EMPTY})


@dataclass(frozen=True)
class Times:
    """In epoch seconds: when the fault began to be applied, when its undo began, and when that was done."""

    fault: float
    undo: float
    undone: float


@dataclass(frozen=True)
class Observed:
    """The checker's findings, and the history they are of."""

    findings: Findings
    ops: Sequence[Op]
    probes: Sequence[Probe]
    times: Times

    def acknowledged(self, begin: float, end: float) -> int:
        """How many writes were answered well between these times."""
        return sum(op.outcome is Outcome.OK and op.action in WRITES and begin <= op.ended <= end for op in self.ops)

    def from_fault_to_undo(self) -> list[Op]:
        """All that was asked while the fault was there."""
        return [op for op in self.ops if self.times.fault <= op.started < self.times.undo]
