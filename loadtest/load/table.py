"""A load's result for people: Locust's percentiles for each request, and what the history proves. 80 columns."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.checker import Findings
from loadtest.figures import Figures
from loadtest.load.run import Outcome
from loadtest.protocol import Row
from loadtest.verdict import Ruling, Verdict

SATURATED = 0.9
"""Of the one core that a Locust process can use; Locust's own limit for such a warning."""
MARKS = {
    Verdict.HOLDS: ("✓", "green"),
    Verdict.NOT_ENOUGH_DATA: ("?", "yellow"),
    Verdict.BROKEN: ("✗", "bold red"),
}


def result(outcome: Outcome) -> RenderableType:
    """The whole of it."""
    load = outcome.load
    head = f"{load.users:,} users, {load.requests:,} requests in {load.seconds:.0f} s: {load.rate:,.0f} a second"
    parts: list[RenderableType] = [Text(head, "bold"), Text(""), _requests(outcome), Text(""), _verdicts(outcome)]
    if warning := bottleneck(load, outcome.plan.workers):
        parts += [Text(""), Text(warning, "yellow")]
    return Group(*parts)


def bottleneck(load: Figures, workers: int) -> str | None:
    """What to say where the load generator itself was the limit."""
    if load.generator_cpu <= SATURATED:
        return None
    whose = "The busiest Locust worker" if workers > 1 else "Locust"
    return (
        f"{whose} used {load.generator_cpu:.0%} of a core: rates and times are the load generator's own, not the "
        f"cluster's. Give it --workers {workers + 1}, on a machine that has the cores."
    )


def _requests(outcome: Outcome) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("request", overflow="ellipsis", no_wrap=True, max_width=30)
    for column in ("count", "/s", "failed", "p50", "p90", "p99", "p99.9 ms"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in outcome.latency.rows:
        table.add_row(*_row(row, f"{row.method:<6} {row.name}", outcome.load.seconds))
    table.add_section()
    table.add_row(*_row(outcome.latency.total, "all", outcome.load.seconds))
    return table


def _row(row: Row, name: str, seconds: float) -> list[str | Text]:
    failed = Text(f"{row.failed:,}", "red" if row.failed else "")
    times = [f"{time:,.0f}" for time in (row.p50, row.p90, row.p99, row.p999)]
    return [Text(name), f"{row.requests:,}", f"{row.requests / seconds:.1f}", failed, *times]


def _verdicts(outcome: Outcome) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(ratio=1)
    for ruling, words in ((outcome.lost, _lost(outcome.findings)), (outcome.failed, _failed(outcome.findings))):
        mark, style = MARKS[ruling.verdict]
        grid.add_row(Text(mark, style), Text(words))
        grid.add_row("", Text(_reason(ruling), "dim")) if _reason(ruling) else None
    for line in _examples(outcome.findings):
        grid.add_row("", Text(line, "dim"))
    return grid


def _lost(findings: Findings) -> str:
    return (
        f"sessions lost {findings.sessions_lost:,} of {findings.sessions:,}, updates lost {findings.updates_lost:,}, "
        f"stale reads {findings.stale_reads:,}, logouts revived {findings.revived:,}, crossed {findings.crossed:,}"
    )


def _failed(findings: Findings) -> str:
    total = findings.total
    of_all = f"{total.failed:,} of {total.operations:,} (arrival included)"
    return f"requests failed {of_all}, asked again by the proxy {total.retried:,}"


def _reason(ruling: Ruling) -> str:
    return f"{ruling.verdict.capitalize()}: {ruling.reason}." if ruling.verdict is not Verdict.HOLDS else ""


def _examples(findings: Findings) -> Iterator[str]:
    """The first of each kind."""
    for kind, examples in findings.examples.items():
        yield f"first {kind}: {examples[0].who}, {examples[0].what}"
