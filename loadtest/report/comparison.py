"""docs/comparison.md: what each system loses in each experiment, from the results of a comparison."""

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy import NodeKind
from loadtest.checker import Findings, Kind
from loadtest.experiment import ARRIVAL
from loadtest.experiments import BY_NAME
from loadtest.faults import NOTHING
from loadtest.results import CaseResults, Result, group_by_case, read_results

OURS = "Session Cluster (this project)"
_REASONS = Path(__file__).parent / "reasons.toml"
_CLEAR = 0.2
"""By how many seconds gaps must differ to be told apart: a prober asks every 50 ms, on a busy machine."""


@dataclass(frozen=True)
class Measure:
    """One figure of a cell: what it is called, and how it is read. `least`: a smaller difference is none. `whole` reads
    of how many it is a part."""

    name: str
    read: Callable[[Findings], float]
    form: str = "{:,.0f}"
    least: float = 0.0
    whole: Callable[[Findings], float] | None = None


def _found(kind: Kind) -> Callable[[Findings], float]:
    return lambda found: found.total.found.get(kind, 0)


def _share_failed(found: Findings) -> float:
    return found.total.failed / max(found.total.operations, 1)


def _slowest(found: Findings) -> float:
    """Return the seconds of the slowest answer. Logins do not count: how a password is hashed is the application's."""
    rows = [row for name, seen in found.phases.items() if name != ARRIVAL for row in seen.rows]
    return max((row.p999 for row in rows if "login" not in row.path), default=0.0) / 1000


UPDATES = Measure("updates lost", _found(Kind.UPDATE_LOST), whole=lambda found: found.total.updates)
OUT = Measure("users logged out", lambda found: found.total.users_logged_out, whole=lambda found: found.total.users)
REVIVED = Measure("logouts undone", _found(Kind.REVIVED), whole=lambda found: found.total.logouts)
CROSSED = Measure("answers crossed", _found(Kind.CROSSED))
FAILED = Measure("of requests failed", _share_failed, "{:.1%}", 0.01)
SLOWEST = Measure("for the slowest answer", _slowest, "{:.1f} s", 0.5)
GAP = Measure("without a good answer", lambda found: found.gap, "{:.2f} s", _CLEAR)
MEASURES = (UPDATES, OUT, REVIVED, CROSSED, GAP)
_OF: dict[str, tuple[Measure, ...]] = {
    "concurrent-writes": (UPDATES, OUT, CROSSED),
    "late-writes": (REVIVED, UPDATES, CROSSED),
}
_WITH_A_FAULT = (OUT, UPDATES, REVIVED, CROSSED, GAP)


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a system has losses of a kind in an experiment, or none. `system` is its name, or the beginning of it.

    Of several that are about one system, the one with the longest name is told.
    """

    system: str
    experiment: str
    measure: str
    lost: bool
    text: str

    def is_about(self, system: str) -> bool:
        return system == self.system or ("," not in self.system and system.startswith(self.system))


@dataclass(frozen=True)
class ComparedCell:
    """All runs of one experiment on one system; none: it has not run there."""

    system: str
    experiment: str
    case: CaseResults | None

    @property
    def found(self) -> list[Findings]:
        runs = () if self.case is None else self.case.runs
        return [run.findings for run in runs if run.findings is not None]

    @property
    def measures(self) -> tuple[Measure, ...]:
        return _OF.get(self.experiment, _WITH_A_FAULT)

    @property
    def fault(self) -> str:
        return "" if self.case is None or self.case.first.fault == NOTHING.what else self.case.first.fault

    @property
    def seconds(self) -> float:
        """Return for how long the fault lasted."""
        runs = () if self.case is None else self.case.runs
        return median([run.timing.undo - run.timing.faulty for run in runs if run.timing is not None] or [0.0])

    @property
    def command(self) -> str:
        return "" if self.case is None else self.case.first.command

    def values(self, measure: Measure) -> list[float]:
        return [measure.read(found) for found in self.found]

    def show(self, measure: Measure) -> str:
        """Return the median with its range."""
        values = self.values(measure)
        middle, least, most = (measure.form.format(one) for one in (median(values), min(values), max(values)))
        return middle if least == most else f"{middle} ({least} to {most})"

    def show_loss(self, measure: Measure) -> str:
        """Return a loss, in bold if there is one, and of how many it is a part."""
        shown = f"**{self.show(measure)}**" if any(self.values(measure)) else "0"
        if measure.whole is None:
            return f"{shown} {measure.name}"
        return f"{shown} of {median(map(measure.whole, self.found)):,.0f} {measure.name}"

    @property
    def text(self) -> str:
        """Return the cell of the table: losses first, the others only if there are any."""
        if self.case is None:
            return "not measured"
        if not self.found:
            return f"not measured: {self.case.first.reason}"
        first, *others = self.measures
        parts = [self.show_loss(first)]
        for measure in others:
            if measure is GAP:
                parts.append(f"gap {self.show(GAP)}, slowest answer {self.show(SLOWEST)}")
            elif any(self.values(measure)):
                parts.append(self.show_loss(measure))
        if any(self.values(FAILED)):
            parts.append(f"{self.show(FAILED)} {FAILED.name}")
        count = len(self.found)
        more = len(self.case.runs) - count
        missing = f"; {more} more could not be measured" if more else ""
        requests = median(found.total.operations for found in self.found)
        return f"{'; '.join(parts)}; {count} run{'s' if count > 1 else ''} of {requests:,.0f} requests{missing}"

    @property
    def compared(self) -> tuple[Measure, ...]:
        return (*self.measures, FAILED, *((SLOWEST,) if GAP in self.measures else ()))

    def is_better(self, other: "ComparedCell", measure: Measure) -> bool:
        """Return whether a figure is clearly better than in another cell: the ranges don't overlap."""
        here, there = self.values(measure), other.values(measure)
        return bool(here and there) and max(here) < min(there) - measure.least

    def worse_than(self, other: "ComparedCell") -> str:
        """Return the clause for what is clearly worse than in another cell; a better figure may be its price."""
        worse = (measure for measure in self.compared if other.is_better(self, measure))
        parts = [f"{self.show(measure)} {measure.name}" for measure in worse]
        return f"; but also {', '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class ComparedSystems:
    """The cells of a folder of results: each system in each experiment, this project first."""

    systems: tuple[str, ...]
    experiments: tuple[str, ...]
    cells: dict[tuple[str, str], ComparedCell]
    results: Sequence[Result]

    def cell(self, system: str, experiment: str) -> ComparedCell:
        return self.cells[system, experiment]

    def better(self) -> list[str]:
        """Return sentences where another system does clearly better than this project: no overlap of the ranges."""
        told = []
        for experiment in self.experiments:
            ours = self.cell(OURS, experiment)
            for system in self.systems[1:]:
                cell = self.cell(system, experiment)
                better = [measure for measure in cell.compared if cell.is_better(ours, measure)]
                if better:
                    figures = " and ".join(
                        f"{cell.show(one)} {one.name} against {ours.show(one)} here" for one in better
                    )
                    fault = "" if cell.fault == ours.fault else f", with another fault ({cell.fault or 'none'})"
                    but = cell.worse_than(ours)
                    told.append(f"**{BY_NAME[experiment].title}**: {system} has {figures}{fault}{but}.")
        return told

    def text(self, system: str, experiment: str) -> str:
        """Return the cell of the table, with its fault where that is not the one of this project."""
        cell, ours = self.cell(system, experiment), self.cell(OURS, experiment)
        return f"{cell.text}; fault: {cell.fault or 'none'}" if cell.found and cell.fault != ours.fault else cell.text

    def reasons(self, system: str) -> list[str]:
        """Return why a system has these results, as far as it is known and was measured here."""
        known = msgspec.convert(tomllib.loads(_REASONS.read_text(encoding="utf-8")), dict[str, list[Reason]])["reason"]
        measures = {measure.name: measure for measure in MEASURES}
        told: dict[tuple[str, str], Reason] = {}
        for reason in known:
            cell = self.cells.get((system, reason.experiment))
            if cell is None or not cell.found or not reason.is_about(system):
                continue
            about = reason.experiment, reason.measure
            if any(cell.values(measures[reason.measure])) is not reason.lost:
                continue
            if about not in told or len(reason.system) > len(told[about].system):
                told[about] = reason
        return [reason.text for reason in told.values()]


def compare(results: Iterable[Result]) -> ComparedSystems:
    """Return the cells of results. Raises ValueError where there are none."""
    cases = {(_system(case.first), case.first.name): case for case in group_by_case(results)}
    names = tuple(name for name in BY_NAME if any(name == found for _, found in cases))
    systems = tuple(sorted({system for system, _ in cases}, key=lambda system: (system != OURS, system)))
    if not names or OURS not in systems:
        raise ValueError("the folder has no results of this project's nodes to compare with")
    cells = {
        (system, name): ComparedCell(system, name, cases.get((system, name))) for system in systems for name in names
    }
    return ComparedSystems(systems, names, cells, [run for case in cases.values() for run in case.runs])


def render_comparison(folder: Path) -> str:
    """Return the page in Markdown. Raises ValueError for a folder without results, or with damaged ones."""
    comparison = compare(read_results(folder).results)
    _require_one_system(comparison)
    own = max((run for run in comparison.results if _system(run) == OURS), key=lambda run: run.timing is not None)
    environment = Environment(  # noqa: S701  # Markdown
        loader=PackageLoader("loadtest.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("comparison.md").render(
        comparison=comparison,
        by_name=BY_NAME,
        ours=OURS,
        machine={"cpu": "", **comparison.results[0].machine},
        versions=", ".join(f"{name} {version}" for name, version in own.versions.items()),
        days=tuple(sorted({_day(run) for run in comparison.results if run.timing is not None})),
    )


def _require_one_system(comparison: ComparedSystems) -> None:
    """Raise ValueError for results that can't be compared: of several machines, or versions of this project's nodes."""
    measured = [run for run in comparison.results if run.timing is not None]
    for what, found in (
        ("machines", [run.machine for run in measured]),
        ("versions of this project's nodes", [run.versions for run in measured if _system(run) == OURS]),
    ):
        if any(one != found[0] for one in found):
            raise ValueError(f"the results are of several {what}: measure all of them again in a new folder")


def _day(result: Result) -> str:
    assert result.timing is not None
    return datetime.fromtimestamp(result.timing.started, UTC).date().isoformat()


def _system(result: Result) -> str:
    return OURS if result.node == NodeKind.FLASK else result.node
