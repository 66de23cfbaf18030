"""Tables of results: one writer for a terminal and for Markdown, and the table of the experiments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from loadtest.claims.claim import ClaimResult, Verdict
from loadtest.results import CaseResults, Result, group_by_case

SATURATED = 0.9
"""The share of its one core from which on a Locust process is the limit; Locust warns from there on too."""
BUSY_GENERATOR = "The load generator was busy all the time: rates and times are its own, not the cluster's."
MARKS = {
    Verdict.HOLDS: ("✓", "holds", "green"),
    Verdict.NOT_ENOUGH_DATA: ("?", "no data", "yellow"),
    Verdict.BROKEN: ("✗", "broken", "bold red"),
}
_NOTE = (
    "lost: sessions, updates. gap: the longest time without a good answer to a probe, in seconds. Of several runs: the "
    "median (the least to the most), and the worst verdict."
)


@dataclass(frozen=True)
class Column:
    """`name` is the header in Markdown, `header` in a terminal (None: the name); numbers are aligned to the right."""

    name: str
    header: str | None = None
    number: bool = True
    max_width: int | None = None
    flexible: bool = False
    """Takes the remaining space, and breaks lines."""
    markdown_only: bool = False


@dataclass
class Table:
    """Rows of cells below columns. A cell may differ in Markdown: then it is a pair."""

    columns: Sequence[Column]
    gap: int = 1
    rows: list[tuple[Sequence["Cell"], str]] = field(default_factory=list)
    sections: list[int] = field(default_factory=list)

    def add(self, cells: Sequence["Cell"], style: str = "") -> None:
        self.rows.append((cells, style))

    def add_section(self) -> None:
        """Draw a line above the following rows, in a terminal."""
        self.sections.append(len(self.rows))

    def render(self) -> RichTable:
        """Return the table for a terminal; the headers stand on the line below them."""
        table = RichTable(
            box=box.SIMPLE_HEAD, padding=(0, self.gap, 0, 0), show_edge=False, pad_edge=False, header_style="bold"
        )
        shown = [at for at, column in enumerate(self.columns) if not column.markdown_only]
        columns = [self.columns[at] for at in shown]
        headers = [column.name if column.header is None else column.header for column in columns]
        height = max(header.count("\n") for header in headers)
        for column, header in zip(columns, headers, strict=True):
            table.add_column(
                "\n" * (height - header.count("\n")) + header,
                justify="right" if column.number else "left",
                no_wrap=not column.flexible and column.max_width is None,
                ratio=1 if column.flexible else None,
                max_width=column.max_width,
            )
        for number, (cells, style) in enumerate(self.rows):
            if number in self.sections:
                table.add_section()
            in_row = [cells[at] for at in shown]
            table.add_row(*(cell[0] if isinstance(cell, tuple) else cell for cell in in_row), style=style)
        return table

    def markdown(self) -> str:
        """Return the table for a pull request."""
        lines = [
            [column.name for column in self.columns],
            *([_plain(cell) for cell in cells] for cells, _ in self.rows),
        ]
        head, *body = (f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        ruler = "".join("---:|" if column.number else "---|" for column in self.columns)
        return "\n".join([head, f"|{ruler}", *body]) + "\n"


Cell = str | Text | tuple[str | Text, str]


def _plain(cell: Cell) -> str:
    text = cell[1] if isinstance(cell, tuple) else cell
    return (text.plain if isinstance(text, Text) else text).replace("\n", " ")


def mark_grid() -> RichTable:
    """Return a grid for sentences below a table: number, mark, sentence."""
    grid = RichTable.grid(padding=(0, 1))
    grid.add_column(justify="right")
    grid.add_column()
    grid.add_column(ratio=1)
    return grid


def add_verdict(grid: RichTable, number: str, of: ClaimResult | Result, sentence: str) -> None:
    """Add a sentence with its mark, and below it what did not hold: "Broken: 3 x session lost; expected none."."""
    mark, _, style = MARKS[of.verdict]
    grid.add_row(Text(number, "dim"), Text(mark, style), sentence)
    if of.verdict is not Verdict.HOLDS:
        grid.add_row("", "", Text(f"{of.verdict.capitalize()}: {of.reason}.", style))


def make_experiment_table(results: Iterable[Result]) -> Table:
    """Return a row for each case, for any width from 80 columns on. Ranges of runs take the references' place."""
    cases = list(group_by_case(results))
    columns = (
        Column("#", "", number=False),
        Column("experiment", number=False, flexible=True),
        Column("verdict", number=False),
        Column("sessions lost", "sess.\nlost"),
        Column("updates lost", "upd.\nlost"),
        Column("gap, s", "gap\ns"),
        Column("failed requests", "failed"),
        Column("reference", number=False, max_width=22, markdown_only=any(len(case.runs) > 1 for case in cases)),
    )
    table = Table(columns)
    for case in cases:
        mark, word, style = MARKS[case.worst.verdict]
        figures = (case.sessions_lost, case.updates_lost, case.gap, case.failed)
        table.add(
            [
                Text(str(case.first.number), "dim"),
                _with_runs(case),
                (Text(f"{mark} {word}", style), str(case.worst.verdict)),
                *((Text(_below(text), justify="right"), text) for text in figures),
                Text(case.first.reference, "dim"),
            ]
        )
    return table


def show_experiments(results: Sequence[Result]) -> RenderableType:
    """Return the table, and a line for each run that did not hold."""
    parts: list[RenderableType] = [make_experiment_table(results).render(), Text("")]
    repeated = {case.first.order[:-1] for case in group_by_case(results) if len(case.runs) > 1}
    for result in results:
        if result.verdict is not Verdict.HOLDS:
            mark, _, style = MARKS[result.verdict]
            run = f" (run {result.run})" if result.order[:-1] in repeated else ""
            parts.append(Text(f"{result.number} {mark} {result.heading}{run}: {result.reason}.", style))
    if any(result.generator_cpu > SATURATED for result in results):
        parts.append(Text(BUSY_GENERATOR, "yellow"))
    return Group(*parts, Text(_NOTE, "dim"))


def _below(figure: str) -> str:
    """Return "3 (1 to 7)" with the range on a second line."""
    return figure.replace(" (", "\n").replace(" to ", "-").removesuffix(")")


def _with_runs(case: CaseResults) -> str:
    return f"{case.title} ({len(case.runs)} runs)" if len(case.runs) > 1 else case.title
