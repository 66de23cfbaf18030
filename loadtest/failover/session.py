"""Several experiments, one after another: what is run, where its results go, and how much time is left."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import ClusterError, NodeKind
from loadtest import results
from loadtest.experiment import Case, Experiment
from loadtest.failover.course import Course
from loadtest.failover.judge import failure, judge
from loadtest.failover.trial import Effort
from loadtest.history import HistoryError
from loadtest.old_generator import GeneratorError
from loadtest.prober import ProberError
from loadtest.progress import Status, Watch
from loadtest.results import Place
from loadtest.runner import MakeCluster, run

OPERATIONS = "operations.jsonl.gz"


@dataclass(frozen=True)
class Plan:
    """What is to be run. `clusters` says where, and how they are made there: each variant is run in the first place
    that it can be run in. `options` are those of the command that runs one of it again, but for the place."""

    experiments: Sequence[Experiment]
    repeat: int
    effort: Effort
    folder: Path
    options: str
    clusters: Mapping[Place, MakeCluster]
    node: NodeKind = NodeKind.FLASK
    variants: Sequence[str] | None = None
    """Only those of these names; None: all."""

    @property
    def cases(self) -> list[Case]:
        """A variant whose cluster cannot be there, or whose store such nodes do not have, is left out."""
        return [
            Case(experiment, variant, self.node, places[0])
            for experiment in self.experiments
            for variant in experiment.variants
            if self.variants is None or variant.name in self.variants
            if variant.spec.store in self.node.stores
            if (places := [place for place in self.clusters if place in variant.places])
        ]

    @property
    def runs(self) -> int:
        return len(self.cases) * self.repeat


def run_all(plan: Plan, watch: Watch) -> Iterator[results.Result]:
    """Run everything, and yield each result as it is there. A run that fails is a result too.

    Raises OSError where results cannot be written, and KeyboardInterrupt.
    """
    rounds = [(case, number) for case in plan.cases for number in range(1, plan.repeat + 1)]
    status = Status("", 0, len(rounds))
    later = [Course(case, plan.effort.share, status, 0.0).seconds for case, _ in rounds]
    for position, (case, number) in enumerate(rounds):
        status.title, status.number, status.progress = case.heading, position + 1, None
        course = Course(case, plan.effort.share, status, sum(later[position + 1 :]))
        yield _one(plan, case, number, course, watch)


def _one(plan: Plan, case: Case, number: int, course: Course, watch: Watch) -> results.Result:
    command = f"session-cluster failover run {case.experiment.name} --on {case.place} {plan.options}".rstrip()
    folder = plan.folder / case.name / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    operations = folder / OPERATIONS
    try:
        trial = run(case, plan.effort, operations, plan.clusters[case.place], course, lambda: watch(course.status))
        result = judge(trial, folder, number, command)
    except (ClusterError, GeneratorError, ProberError, HistoryError) as error:
        result = failure(case, plan.effort, number, command, str(error))
    finally:
        operations.unlink(missing_ok=True)
    results.write(folder, result)
    results.write_all(plan.folder)
    return result
