"""One line that says what the demo is doing now: live on a terminal, a line for each phase in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from loadtest.demo.run import Status


class ProgressLine:
    """A context manager; call it with every new status."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console = console
        self._whole = seconds
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
        line = f"{status.number}/{status.total} {status.scene.title}: {status.doing}"
        if not self._console.is_terminal and line != self._logged:
            self._console.print(line, highlight=False)
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
            (f"{status.number}/{status.total} ", "dim"), (status.scene.title, "bold"), f": {status.doing}"
        )
        share = self._whole / len(status.scene.phases)
        left = max(0.0, status.ends - time.monotonic())
        bar = ProgressBar(total=share, completed=share - left, width=10, pulse=not status.ends)
        line.add_row(self._spinner, where, bar, _seen(status))
        return line


def _seen(status: Status) -> Text:
    if status.progress is None:
        return Text("")
    figures = status.progress.figures
    return Text.assemble(
        f"{figures.requests:,} req.  ",
        (f"{figures.logged_out:,} logged out  ", "yellow" if figures.logged_out else "dim"),
        (f"{figures.failed:,} failed", "red" if figures.failed else "dim"),
    )
