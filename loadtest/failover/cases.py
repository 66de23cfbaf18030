"""The runs of one experiment taken together: its verdict, and each figure as a median with its range."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from loadtest.checker.findings import Findings
from loadtest.results import Result, case_folder
from loadtest.verdict import Verdict

_ORDER = list(Verdict)


@dataclass(frozen=True)
class CaseResults:
    """All runs of one variant of an experiment on one kind of node in one place, at least one."""

    runs: Sequence[Result]

    @property
    def first(self) -> Result:
        return self.runs[0]

    @property
    def node(self) -> str:
        """Whose nodes they were."""
        return self.first.node

    @property
    def title(self) -> str:
        return self.first.heading

    @property
    def anchor(self) -> str:
        return case_folder(self.first.name, self.first.variant, self.node, self.first.place).replace(".", "-")

    @property
    def worst(self) -> Result:
        """The run that says most against the hypothesis; the first of them."""
        return max(self.runs, key=lambda run: (_ORDER.index(run.verdict), -run.run))

    @property
    def sessions_lost(self) -> str:
        return self._figure(lambda found: found.sessions_lost)

    @property
    def updates_lost(self) -> str:
        return self._figure(lambda found: found.updates_lost)

    @property
    def revived(self) -> str:
        return self._figure(lambda found: found.revived)

    @property
    def failed(self) -> str:
        return self._figure(lambda found: found.total.failed)

    @property
    def gap(self) -> str:
        """In seconds; a dash without a prober."""
        return self._figure(lambda found: found.gap if found.availability else None, "{:.2f}")

    def _figure(self, of: Callable[[Findings], float | None], form: str = "{:,}") -> str:
        """The median, and the range behind it where the runs differ."""
        values = [value for run in self.runs if run.findings is not None and (value := of(run.findings)) is not None]
        if not values:
            return "-"
        middle, least, most = (form.format(_whole(value)) for value in (median(values), min(values), max(values)))
        return middle if least == most else f"{middle} ({least} to {most})"


def cases_of(results: Iterable[Result]) -> list[CaseResults]:
    """In the order of the results, which is that of the experiments."""
    ordered = sorted(results, key=lambda result: result.order)
    return [CaseResults(tuple(runs)) for _, runs in groupby(ordered, key=lambda result: result.order[:-1])]


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value
