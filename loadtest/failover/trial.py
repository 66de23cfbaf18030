"""One run of an experiment: with how much effort, and what was written down of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.experiment import Case
from loadtest.history import Mark, Probe, now


@dataclass(frozen=True)
class Effort:
    """How many users, who wait `wait` seconds (from, to) between two requests; and which share (0 to 1) of the
    experiment's own durations they are watched for."""

    users: int = 24
    wait: tuple[float, float] = (0.2, 0.8)
    share: float = 1.0


@dataclass
class Trial:
    """Times are epoch seconds; 0: it did not come to that."""

    case: Case
    effort: Effort
    operations: Path
    """A history of the load alone, which the generator writes."""
    marks: list[Mark] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    started: float = field(default_factory=now)
    faulty: float = 0.0
    """When the fault was applied, which may have taken a while since the mark "fault"."""
    undone: float = 0.0
    generator_cpu: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    unsteady: str = ""
    """Why there was no steady state to begin with; then no fault was applied."""
    unwell: str = ""
    """What was still wrong after the undo."""

    @property
    def users(self) -> int:
        return self.case.experiment.users or self.effort.users

    def mark(self, name: str) -> None:
        self.marks.append(Mark(now(), name))

    def when(self, name: str) -> float:
        """When the mark was set."""
        return next((mark.at for mark in self.marks if mark.name == name), 0.0)
