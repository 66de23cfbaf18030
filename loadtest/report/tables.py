"""Tables of results: one writer for a terminal and for Markdown, and the table of the experiments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from loadtest.checker import Findings, PhaseFigures
from loadtest.claims.claim import ClaimResult, Verdict
from loadtest.experiment import AFTER, BEFORE
from loadtest.processes import ProcessChange
from loadtest.report.sentences import capitalize, tell, tell_unseen
from loadtest.results import CaseResults, Result, group_by_case

SATURATED = 0.9
"""The share of its one core from which on a Locust process is the limit; Locust warns from there on too."""
BUSY_GENERATOR = "The load generator was busy all the time: rates and times are its own, not the cluster's."
MARKS = {
    Verdict.NOT_LOOKED_FOR: ("○", "not looked for", "yellow"),
    Verdict.HOLDS: ("✓", "as predicted", "cyan"),
    Verdict.NOT_ENOUGH_DATA: ("?", "too little data", "yellow"),
    Verdict.BROKEN: ("✗", "not as predicted", "bold red"),
}
"""Mark, words and style of each verdict. A prediction may be that users lose something, so none of them is green."""
IN_PART = ", in part"
"""Follows "as predicted" where something was not looked for."""
LOSS = "red"
_NOTE = (
    "A verdict compares with the hypothesis, which may be that something is lost. users out: those who were found "
    "logged out. gap: the longest time without a good answer to a probe, in seconds. Of several runs: the median (the "
    "least to the most), and the worst verdict."
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
    optional: bool = False
    """Left out where no row has something in it."""


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
        shown = [at for at in self._shown() if not self.columns[at].markdown_only]
        columns = [self.columns[at] for at in shown]
        headers = [column.name if column.header is None else column.header for column in columns]
        height = max(header.count("\n") for header in headers)
        for column, header in zip(columns, headers, strict=True):
            table.add_column(
                Text("\n" * (height - header.count("\n")) + header),
                justify="right" if column.number else "left",
                no_wrap=not column.flexible and column.max_width is None,
                ratio=1 if column.flexible else None,
                max_width=column.max_width,
            )
        for number, (cells, style) in enumerate(self.rows):
            if number in self.sections:
                table.add_section()
            in_row = [cells[at] for at in shown]
            shown_cells = (cell[0] if isinstance(cell, tuple) else cell for cell in in_row)
            table.add_row(*map(_literally, shown_cells), style=style)
        return table

    def markdown(self) -> str:
        """Return the table for a pull request."""
        shown = self._shown()
        lines = [
            [self.columns[at].name for at in shown],
            *([_plain(cells[at]) for at in shown] for cells, _ in self.rows),
        ]
        head, *body = (f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        ruler = "".join("---:|" if self.columns[at].number else "---|" for at in shown)
        return "\n".join([head, f"|{ruler}", *body]) + "\n"

    def _shown(self) -> list[int]:
        """Return the positions of the columns that are not left out."""
        return [
            at
            for at, column in enumerate(self.columns)
            if not column.optional or any(_plain(cells[at]) not in EMPTY for cells, _ in self.rows)
        ]


EMPTY = frozenset({"", "-"})
"""Texts of cells with nothing in them."""
Cell = str | Text | tuple[str | Text, str]


def _literally(text: str | Text) -> Text:
    """Return a text in which rich finds no markup: a title, a path or an answer may have brackets."""
    return text if isinstance(text, Text) else Text(text)


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
    """Add a sentence with its mark, and below it what did not hold: "Not as predicted: 3 x session lost; …".

    A claim outside an experiment predicts nothing, so it has no such words.
    """
    mark, words, style = MARKS[of.verdict]
    grid.add_row(Text(number, "dim"), Text(mark, style), Text(sentence))
    if of.verdict is not Verdict.HOLDS:
        reason = f"{words}: {of.reason}." if isinstance(of, Result) else f"{of.reason}."
        grid.add_row("", "", Text(capitalize(reason), style))


def make_experiment_table(results: Iterable[Result]) -> Table:
    """Return a row for each case, for any width from 80 columns on."""
    columns = (
        Column("#", "", number=False),
        Column("experiment", number=False, flexible=True),
        Column("verdict", number=False),
        Column("users logged out", "users\nout"),
        Column("sessions lost", markdown_only=True),
        Column("updates lost", "upd.\nlost"),
        Column("other losses", "other\nlosses", number=False, max_width=16, optional=True),
        Column("gap, s", "gap\ns", optional=True),
        Column("failed requests", "failed"),
        Column("reference", number=False, markdown_only=True, optional=True),
    )
    table = Table(columns)
    for case in group_by_case(results):
        mark, word, style = MARKS[case.worst.verdict]
        word += IN_PART if case.not_looked_for and case.worst.verdict is Verdict.HOLDS else ""
        table.add(
            [
                Text(str(case.first.number), "dim"),
                _with_runs(case),
                (Text(f"{mark} {word}", style), word),
                _figure(case.users_logged_out, LOSS),
                case.sessions_lost,
                _figure(case.updates_lost, LOSS),
                Text(case.other_losses, LOSS),
                _figure(case.gap, "yellow"),
                _figure(case.failed, "yellow"),
                case.first.reference,
            ]
        )
    return table


def tell_cases(results: Iterable[Result]) -> RenderableType:
    """Return for each case what the users lost and what it cost them, in a sentence."""
    grid = mark_grid()
    for case in group_by_case(results):
        told = tell(case)
        if told is not None:
            losses = Text(told.losses, LOSS if told.lost else "")
            sentence = Text.assemble((f"{case.title}: ", "bold"), losses, f"; {told.costs}.")
            grid.add_row(Text(str(case.first.number), "dim"), Text("!" if told.lost else " ", LOSS), sentence)
        if unseen := tell_unseen(case):
            grid.add_row("", MARKS[Verdict.NOT_LOOKED_FOR][0], Text(f"not looked for: {unseen}.", "yellow"))
    return grid


def make_process_table(processes: Iterable[ProcessChange]) -> Table:
    """Return a row for each process: what it used in the quiet phase at the beginning, and in that at the end."""
    columns = [Column("process", number=False, flexible=True)]
    columns += [Column(name, header) for name, header in
                (("memory in MB", "memory\nMB"), ("descriptors", "descriptors"), ("threads", "threads"))]  # fmt: skip
    table = Table([*columns, Column("", number=False, max_width=20)], gap=2)
    for one in processes:
        pairs = (
            (f"{one.begin.memory:.1f}", f"{one.end.memory:.1f}"),
            (f"{one.begin.descriptors}", f"{one.end.descriptors}"),
            (f"{one.begin.threads}", f"{one.end.threads}"),
        )
        table.add([one.name, *(f"{begin} → {end}" for begin, end in pairs), "replaced" if one.replaced else ""])
    return table


def tell_latencies(found: Findings) -> str:
    """Return the latencies of the quiet phases at the beginning and at the end, which a run without an end has not."""
    begin, end = (found.phases.get(phase, PhaseFigures(seconds=0.0)) for phase in (BEFORE, AFTER))
    return (
        f"Latency at the beginning and at the end: p50 {begin.p50:.1f} ms → {end.p50:.1f} ms, "
        f"p99 {begin.p99:.1f} ms → {end.p99:.1f} ms"
    )


def make_markdown(results: Sequence[Result]) -> str:
    """Return the sentences and the table for a pull request."""
    sentences = []
    for case in group_by_case(results):
        if (told := tell(case)) is not None:
            unseen = f" Not looked for: {text}." if (text := tell_unseen(case)) else ""
            sentences.append(f"- **{case.title}**: {told.text}.{unseen}\n")
    return "".join([*sentences, "\n", make_experiment_table(results).markdown()])


def show_experiments(results: Sequence[Result]) -> RenderableType:
    """Return the sentences and the table, and a line for each run that was not as predicted."""
    parts: list[RenderableType] = [
        tell_cases(results), Text(""), make_experiment_table(results).render(), Text("")
    ]  # fmt: skip
    repeated = {case.first.order[:-1] for case in group_by_case(results) if len(case.runs) > 1}
    for result in results:
        if result.verdict is not Verdict.HOLDS:
            mark, _, style = MARKS[result.verdict]
            run = f" (run {result.run})" if result.order[:-1] in repeated else ""
            parts.append(Text(f"{result.number} {mark} {result.heading}{run}: {result.reason}.", style))
            parts += show_evidence(result)
    if any(result.generator_cpu > SATURATED for result in results):
        parts.append(Text(BUSY_GENERATOR, "yellow"))
    return Group(*parts, Text(_NOTE, "dim"))


def show_evidence(result: Result) -> list[RenderableType]:
    """Return the first evidence of each kind, with the requests behind it."""
    found = {} if result.findings is None else result.findings.examples
    lines: list[RenderableType] = []
    for kind, (first, *_) in found.items():
        lines.append(Text(f"  first {kind}: {first.who}, {first.what}", "dim"))
        if requests := result.find_requests(first):
            lines.append(Text(f"    {requests}", "dim"))
    return lines


def _figure(figure: str, style: str) -> Cell:
    """Return the cell of a figure; in a terminal with the range below it, and in this style unless it is zero."""
    return Text(_below(figure), "" if figure in {"0", "0.00", "-"} else style, justify="right"), figure


def _below(figure: str) -> str:
    """Return "3 (1 to 7)" with the range on a second line."""
    return figure.replace(" (", "\n").replace(" to ", "-").removesuffix(")")


def _with_runs(case: CaseResults) -> str:
    return f"{case.title} ({len(case.runs)} runs)" if len(case.runs) > 1 else case.title
