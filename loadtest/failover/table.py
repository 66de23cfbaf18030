"""Results for people: one table, complete at 80 columns, with a line for whatever did not hold; or Markdown."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.failover.result import Result
from loadtest.verdict import Verdict

SATURATED = 0.9  # of the one core that Locust can use; its own limit for such a warning
MARKS = {
    Verdict.HOLDS: ("✓", "holds", "green"),
    Verdict.NOT_ENOUGH_DATA: ("?", "no data", "yellow"),
    Verdict.BROKEN: ("✗", "broken", "bold red"),
}
_NOTE = "lost: sessions, updates. gap: the longest time without a good answer to a probe, in seconds."


def table(results: Sequence[Result]) -> RenderableType:
    """All of it, at any width from 80 columns on."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
    shown.add_column("")
    shown.add_column("experiment", ratio=1)
    shown.add_column("verdict", no_wrap=True)
    for header in ("sess.\nlost", "upd.\nlost", "gap\ns", "failed"):
        shown.add_column(header, justify="right", no_wrap=True)
    shown.add_column("reference", max_width=22)
    for result in results:
        mark, word, style = MARKS[result.verdict]
        title = result.heading + (f" (run {result.run})" if _repeated(results, result) else "")
        figures = [Text(text) for text in _figures(result)]
        shown.add_row(
            Text(str(result.number), "dim"),
            title,
            Text(f"{mark} {word}", style),
            *figures,
            Text(result.reference, "dim"),
        )
    parts: list[RenderableType] = [shown, Text("")]
    for result in results:
        if result.verdict is not Verdict.HOLDS:
            mark, _, style = MARKS[result.verdict]
            parts.append(Text(f"{result.number} {mark} {result.heading}: {result.reason}.", style))
    if any(result.generator_cpu > SATURATED for result in results):
        parts.append(Text("The load generator itself was busy all the time: times are its own.", "yellow"))
    return Group(*parts, Text(_NOTE, "dim"))


def markdown(results: Sequence[Result]) -> str:
    """The same for a pull request."""
    lines = [
        "| # | experiment | verdict | sessions lost | updates lost | gap, s | failed requests | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        title = result.heading + (f" (run {result.run})" if _repeated(results, result) else "")
        cells = [str(result.number), title, str(result.verdict), *_figures(result), result.reference]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _figures(result: Result) -> tuple[str, str, str, str]:
    found = result.findings
    if found is None:
        return ("-",) * 4
    gap = f"{found.gap:.2f}" if found.availability else "-"
    return f"{found.sessions_lost:,}", f"{found.updates_lost:,}", gap, f"{found.total.failed:,}"


def _repeated(results: Sequence[Result], result: Result) -> bool:
    return sum(one.order[:-1] == result.order[:-1] for one in results) > 1
