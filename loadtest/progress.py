"""One line that says what is being done now, what comes next and how long it takes: live on a terminal, else a log."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from loadtest.protocol import Progress


@dataclass
class Status:
    """What is happening, for whoever displays it. Times are on the monotonic clock; 0 stands for unknown."""

    title: str
    number: int
    total: int
    doing: str = "starting"
    then: str = ""
    began: float = 0.0
    ends: float = 0.0
    """When what is being done now began, and when it will be over."""
    over: float = 0.0
    """When all of it will be over."""
    progress: Progress | None = None

    def turn(self, doing: str, then: str = "", seconds: float = 0.0) -> None:
        """To the next thing, which takes so long."""
        self.doing, self.then = doing, then
        self.began = time.monotonic()
        self.ends = self.began + seconds if seconds else 0.0


class Watch(Protocol):
    """Told whenever the status has changed, several times a second."""

    def __call__(self, status: Status) -> None: ...


class ProgressLine:
    """A context manager; call it with every new status."""

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, status: Status) -> None:
        self._status = status
        line = f"{status.number}/{status.total} {status.title}: {status.doing}"
        if not self._console.is_terminal and line != self._logged:
            self._console.print(line, _outlook(status), highlight=False, markup=False, sep="", soft_wrap=True)
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
            f": {status.doing}",
            (_outlook(status), "dim"),
        )
        whole = max(0.001, status.ends - status.began)
        left = max(0.0, status.ends - time.monotonic())
        bar = ProgressBar(total=whole, completed=whole - left, width=10, pulse=not status.ends)
        line.add_row(self._spinner, where, bar, _seen(status))
        return line


def _outlook(status: Status) -> str:
    """ " (next: before; about 40 s left)", as far as it is known."""
    left = status.over - time.monotonic()
    said = [f"next: {status.then}" if status.then else "", f"about {_duration(left)} left" if left > 0 else ""]
    known = "; ".join(filter(None, said))
    return f" ({known})" if known else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _seen(status: Status) -> Text:
    if status.progress is None:
        return Text("")
    figures = status.progress.figures
    return Text.assemble(
        f"{figures.requests:,} req.  ",
        (f"{figures.logged_out:,} logged out  ", "yellow" if figures.logged_out else "dim"),
        (f"{figures.failed:,} failed", "red" if figures.failed else "dim"),
    )
