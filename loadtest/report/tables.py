"""Results for people: one table, complete at 80 columns, with a line for whatever did not hold; or Markdown."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.failover.cases import CaseResults, cases_of
from loadtest.results import Result
from loadtest.verdict import Verdict

SATURATED = 0.9  # of the one core that Locust can use; its own limit for such a warning
MARKS = {
    Verdict.HOLDS: ("✓", "holds", "green"),
    Verdict.NOT_ENOUGH_DATA: ("?", "no data", "yellow"),
    Verdict.BROKEN: ("✗", "broken", "bold red"),
}
_NOTE = (
    "lost: sessions, updates. gap: the longest time without a good answer to a probe, in seconds. Of several runs: the "
    "median (the least to the most), and the worst verdict."
)


def table(results: Sequence[Result]) -> RenderableType:
    """All of it, at any width from 80 columns on."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
    shown.add_column("")
    shown.add_column("experiment", ratio=1)
    shown.add_column("verdict", no_wrap=True)
    for header in ("sess.\nlost", "upd.\nlost", "gap\ns", "failed"):
        shown.add_column(header, justify="right", no_wrap=True)
    shown.add_column("reference", max_width=22)
    for case in cases_of(results):
        mark, word, style = MARKS[case.worst.verdict]
        figures = [Text(text.replace(" (", "\n("), justify="right") for text in _figures(case)]
        shown.add_row(
            Text(str(case.first.number), "dim"),
            _titled(case),
            Text(f"{mark} {word}", style),
            *figures,
            Text(case.first.reference, "dim"),
        )
    parts: list[RenderableType] = [shown, Text("")]
    for result in results:
        if result.verdict is not Verdict.HOLDS:
            mark, _, style = MARKS[result.verdict]
            which = f" (run {result.run})" if _is_repeated(results, result) else ""
            parts.append(Text(f"{result.number} {mark} {result.heading}{which}: {result.reason}.", style))
    if any(result.generator_cpu > SATURATED for result in results):
        parts.append(Text("The load generator itself was busy all the time: times are its own.", "yellow"))
    return Group(*parts, Text(_NOTE, "dim"))


def markdown(results: Sequence[Result]) -> str:
    """The same for a pull request."""
    lines = [
        "| # | experiment | verdict | sessions lost | updates lost | gap, s | failed requests | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in cases_of(results):
        cells = [str(case.first.number), _titled(case), str(case.worst.verdict), *_figures(case), case.first.reference]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _titled(case: CaseResults) -> str:
    return f"{case.title} ({len(case.runs)} runs)" if len(case.runs) > 1 else case.title


def _figures(case: CaseResults) -> tuple[str, str, str, str]:
    return case.sessions_lost, case.updates_lost, case.gap, case.failed


def _is_repeated(results: Sequence[Result], result: Result) -> bool:
    return sum(one.order[:-1] == result.order[:-1] for one in results) > 1
