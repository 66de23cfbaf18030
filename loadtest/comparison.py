"""Several targets and the project's own nodes in one experiment after another, on one machine, with repeats.

Results are in one folder, so an interrupted comparison goes on where it ended. The page is made by
`loadtest.report.comparison`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from loadtest.described.description import TargetDescription
from loadtest.described.fit import fit
from loadtest.described.make_runtime import make_cluster
from loadtest.described.target import DescribedTarget
from loadtest.experiment import Experiment, Place
from loadtest.experiments import BY_NAME
from loadtest.progress import Status
from loadtest.results import Result, read_results
from loadtest.suite import MakeCluster, Suite, SuiteLoad

EXPERIMENTS = ("concurrent-writes", "late-writes", "kill-node", "store-outage")
OWN_VARIANTS: Mapping[str, str] = {"concurrent-writes": "redis", "late-writes": "redis"}
"""The variants of the project's own nodes, where an experiment has one for each store."""
RUNS = 3
_TRIES = 2
"""How often it is tried to measure what can't be measured."""


class System:
    """One system to compare: a described target, or the project's own nodes (None). `path` is as it was given."""

    def __init__(self, path: Path | None, description: TargetDescription | None) -> None:
        self._path, self._description = path, description
        self._cluster = None if description is None else make_cluster(description)

    def make_suite(
        self, experiment: Experiment, load: SuiteLoad, folder: Path, make: MakeCluster, options: str
    ) -> Suite:
        """Return a suite with what fits of one experiment: no case for what can't run on it."""
        if self._description is None:
            own = OWN_VARIANTS.get(experiment.name)
            variants = {experiment.name: {own}} if own else {}
            command = f"session-cluster failover run {{name}}{options}"
            return Suite([experiment], load, folder, {Place.LOCAL: make}, command=command, variants=variants)
        target = DescribedTarget(self._description, self._cluster)
        command = f"session-cluster failover run {{name}} --target {self._path}{options}"
        return Suite(fit([experiment], target, {}).experiments, load, folder, command=command, target=target)


@dataclass(frozen=True)
class Comparison:
    """All `experiments` on all `systems`, as many `runs` of each: what loses nothing in one may do in the next.

    Each run has servers of its own, since some systems do not recover from an outage for a while.
    """

    systems: Sequence[System]
    experiments: Sequence[str]
    load: SuiteLoad
    folder: Path
    make: MakeCluster
    options: str = ""
    runs: int = RUNS

    def run(self, watch: Callable[[Status], None]) -> Iterator[Result]:
        """Run what has no result yet, one system after another. Raises what `Suite.run` does."""
        for number, system in enumerate(self.systems, 1):
            suites = [
                system.make_suite(BY_NAME[name], self.load, self.folder, self.make, self.options)
                for name in self.experiments
            ]
            for suite in suites:
                while self._missing(suite):
                    later = replace(suite, first=len(self._results(suite)) + 1)
                    yield from later.run(partial(self._watch, watch, number))

    def _watch(self, watch: Callable[[Status], None], number: int, status: Status) -> None:
        """Pass on the status of a run, with the number of its system."""
        watch(replace(status, number=number, total=len(self.systems)))

    def _missing(self, suite: Suite) -> bool:
        """Return whether a suite has too few results."""
        if not suite.cases:
            return False
        results = self._results(suite)
        return len(results) < self.runs and sum(result.findings is None for result in results) < _TRIES

    def _results(self, suite: Suite) -> list[Result]:
        name = suite.cases[0].name
        return [result for result in read_results(self.folder).results if result.folder.rpartition("/")[0] == name]
