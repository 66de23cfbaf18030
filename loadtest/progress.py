"""The stages of a run, and one line with the current one, the next and the time that is left.

The line is live on a terminal, and a log elsewhere.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from loadtest.checker import Findings
from loadtest.experiment import ARRIVAL, Phase

STARTING, CHECKING = "starting", "checking"


@dataclass
class Status:
    """The state of a run for display. Times are on the monotonic clock; 0 stands for unknown."""

    title: str
    number: int
    total: int
    stage: str = "starting"
    next_stage: str = ""
    stage_began_at: float = 0.0
    stage_ends_at: float = 0.0
    ends_at: float = 0.0
    """The end of everything, estimated."""
    findings: Findings | None = None
    """Findings of the checker so far."""

    def enter(self, stage: str, next_stage: str = "", seconds: float = 0.0) -> None:
        """Enter a stage, which takes `seconds` (0: unknown)."""
        self.stage, self.next_stage = stage, next_stage
        self.stage_began_at = time.monotonic()
        self.stage_ends_at = self.stage_began_at + seconds if seconds else 0.0


@dataclass(frozen=True)
class Stage:
    """A step of a run for the progress line; with `exact` its seconds are not an estimate."""

    name: str
    words: str
    seconds: float
    exact: bool = False


class Schedule:
    """The stages of a run with their durations. `later`: the estimated seconds of the following runs."""

    def __init__(self, phases: Sequence[Phase], status: Status, later: float = 0.0) -> None:
        # Estimates for a quiet machine with two cores; a busy one takes up to twice as long.
        self.stages = [Stage(STARTING, "starting", 3.0), Stage(ARRIVAL, "users arrive", 2.0)]
        for phase in phases:
            if phase.fault.seconds:
                self.stages.append(Stage(f"{phase.name}: fault", f"apply: {phase.fault.what}", phase.fault.seconds))
            self.stages.append(Stage(phase.name, phase.words or phase.name, phase.seconds, exact=True))
            if phase.undo:
                self.stages.append(Stage(f"{phase.name}: undo", "undo" if phase.fault.seconds else "", 1.5))
        self.stages.append(Stage(CHECKING, "checking", 1.5))
        self.status, self._later = status, later
        self._at = 0

    @property
    def seconds(self) -> float:
        """The estimated duration of the run in seconds."""
        return sum(stage.seconds for stage in self.stages)

    def enter(self, name: str) -> None:
        """Enter a stage in the status. Do nothing if the run has no such stage."""
        here = range(self._at, len(self.stages))  # the names of a long run repeat
        position = next((at for at in here if self.stages[at].name == name), None)
        if position is None:
            return
        self._at = position
        stage, rest = self.stages[position], self.stages[position + 1 :]
        then = next((following.words for following in rest if following.words), "")
        self.status.enter(stage.words or self.status.stage, then, stage.seconds if stage.exact else 0.0)
        self.status.ends_at = time.monotonic() + sum(one.seconds for one in (stage, *rest)) + self._later


class ProgressLine:
    """A context manager; call it with each change of the status, several times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots")
        self._status: Status | None = None
        self._logged = ""
        self._live = Live(console=console, transient=True, refresh_per_second=8, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def __call__(self, status: Status) -> None:
        self._status = status
        line = f"{status.number}/{status.total} {status.title}: {status.stage}"
        if not self._console.is_terminal and line != self._logged:
            self._console.print(line, _describe_rest(status), highlight=False, markup=False, sep="", soft_wrap=True)
            self._logged = line

    def _render(self) -> Table | Text:
        status = self._status
        if status is None:
            return Text("")
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(width=10)
        line.add_column(justify="right", no_wrap=True)
        where = Text.assemble(
            (f"{status.number}/{status.total} ", "dim"),
            (status.title, "bold"),
            f": {status.stage}",
            (_describe_rest(status), "dim"),
        )
        whole = max(0.001, status.stage_ends_at - status.stage_began_at)
        left = max(0.0, status.stage_ends_at - time.monotonic())
        bar = ProgressBar(total=whole, completed=whole - left, width=10, pulse=not status.stage_ends_at)
        line.add_row(self._spinner, where, bar, _count_findings(status))
        return line


def _describe_rest(status: Status) -> str:
    """Return the known parts of " (next: before; about 40 s left)"."""
    left = status.ends_at - time.monotonic()
    parts = [
        f"next: {status.next_stage}" if status.next_stage else "",
        f"about {format_duration(left)} left" if left > 0 else "",
    ]
    known = "; ".join(filter(None, parts))
    return f" ({known})" if known else ""


def format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _count_findings(status: Status) -> Text:
    if status.findings is None:
        return Text("")
    figures = status.findings.total
    return Text.assemble(
        f"{figures.operations:,} req.  ",
        (f"{figures.logged_out:,} logged out  ", "red" if figures.logged_out else "dim"),
        (f"{figures.failed:,} failed", "yellow" if figures.failed else "dim"),
    )
