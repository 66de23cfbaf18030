"""The demo's result for people: one table, and under it a sentence for each scene. Complete from 80 columns on."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.demo.claims import Verdict, reasons
from loadtest.demo.scenes import Outcome
from loadtest.figures import Figures

WIDE = 100  # from here on, nothing in the table is abbreviated
ROOMY = 112
SATURATED = 0.9  # of the one core that Locust can use; its own limit for such a warning
MARKS = {
    Verdict.HOLDS: ("✓", "green"),
    Verdict.NOT_ENOUGH_DATA: ("?", "yellow"),
    Verdict.BROKEN: ("✗", "bold red"),
}


def result(outcomes: Sequence[Outcome], width: int) -> RenderableType:
    """The whole result, for a console that is `width` columns wide."""
    note = "found logged out: % of the requests made by users who had logged in"
    parts: list[RenderableType] = [_table(outcomes, width), Text(""), _sentences(outcomes), Text(""), Text(note, "dim")]
    if any(part.figures.generator_cpu > SATURATED for outcome in outcomes for part in outcome.parts):
        parts.append(Text("The load generator itself was busy all the time: rates and times are its own.", "yellow"))
    return Group(*parts)


def _table(outcomes: Sequence[Outcome], width: int) -> Table:
    wide = width >= WIDE
    gap = 1 if width >= ROOMY else 0  # on top of the one that the box has
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
    texts = ["", "scene", "nodes", "store", "balancing" if wide else "policy"]
    numbers = ["requests", "req./s", "p50\nms", "p99\nms"] if wide else ["req.", "/s", "p50\nms", "p99\nms"]
    numbers += ["found\nlogged out", "users\nlogged out"] if wide else ["found\nlogged\nout", "users\nlogged\nout"]
    for header in texts + numbers + ["failed"]:
        raised = "\n" * ((1 if wide else 2) - header.count("\n")) + header  # they all stand on the line below them
        table.add_column(raised, justify="left" if header in texts and header != "nodes" else "right", no_wrap=True)
    for number, outcome in enumerate(outcomes, 1):
        table.add_row(*_row(number, outcome, wide))
    return table


def _row(number: int, outcome: Outcome, wide: bool) -> list[RenderableType]:
    scene, spec = outcome.scene, outcome.scene.spec
    balancing = "-" if spec.nodes == 1 else spec.balance.value.replace("_", " " if wide else "\n")
    later = [Text(f"  {phase.name}", "dim") for phase in scene.phases[1:]]
    shown = [part.figures for part in outcome.parts]
    return [
        Text(str(number), "dim"),
        _lines([Text(scene.title), *later]),
        _lines(Text(str(phase.nodes)) for phase in scene.phases),
        spec.store.value,
        balancing,
        _lines(Text(_count(figures.requests, wide)) for figures in shown),
        _lines(Text(f"{figures.rate:.0f}") for figures in shown),
        _lines(Text(f"{figures.p50:.0f}") for figures in shown),
        _lines(Text(f"{figures.p99:.0f}") for figures in shown),
        _lines(_found(figures, wide) for figures in shown),
        _lines(_users(figures, wide) for figures in shown),
        _lines(Text(f"{figures.failed:,}", "red" if figures.failed else "") for figures in shown),
    ]


def _lines(cells: Iterable[Text]) -> Text:
    return Text("\n").join(cells)


def _count(number: int, wide: bool) -> str:
    """80 columns have room for four digits; the JSON has them all."""
    return f"{number:,}" if wide or number < 10_000 else f"{number / 1000:.0f}k"


def _found(figures: Figures, wide: bool) -> Text:
    if not figures.logged_out:
        return Text("0")
    return Text(f"{_count(figures.logged_out, wide)} {figures.share_logged_out:.0%}", "yellow")


def _users(figures: Figures, wide: bool) -> Text:
    of = f"/{figures.users}" if wide or figures.users < 100 else ""
    if not figures.users_logged_out:
        return Text("0")
    return Text(f"{figures.users_logged_out}{of}", "yellow")


def _sentences(outcomes: Sequence[Outcome]) -> Table:
    """A scene's number, whether it showed what it is to show, the lesson, and what there is to say about failures."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right")
    grid.add_column()
    grid.add_column(ratio=1)
    for number, outcome in enumerate(outcomes, 1):
        mark, style = MARKS[outcome.ruling.verdict]
        grid.add_row(Text(str(number), "dim"), Text(mark, style), outcome.scene.lesson)
        if outcome.ruling.verdict is not Verdict.HOLDS:
            said = f"{outcome.ruling.verdict.capitalize()}: {outcome.ruling.reason}."
            grid.add_row("", "", Text(said, style))
        failures = sum((Counter(part.figures.failures) for part in outcome.parts), Counter[str]())
        if failures and outcome.ruling.verdict is Verdict.HOLDS:
            # A POST that was sent is never repeated, because it may have been carried out: a fact to be shown.
            said = f"In flight on the killed node, and not repeated because they write: {reasons(failures)}."
            grid.add_row("", "", Text(said, "dim"))
    return grid
