"""Runs an experiment: the cluster up, users on it, the steady state, the fault, its undo in any case, all down."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from deploy import Cluster, ClusterSpec
from loadtest.arrival import ARRIVAL, POLL, wait_arrived
from loadtest.experiment import Case
from loadtest.failover.course import AFTER, BEFORE, CHECKING, DURING, FAULT, STARTING, UNDO, Course
from loadtest.failover.interruption import uninterrupted
from loadtest.failover.probes import targets
from loadtest.failover.steady import NotSteadyError, wait_steady
from loadtest.failover.trial import Effort, Trial
from loadtest.history import now
from loadtest.old_generator import Generator
from loadtest.prober import Prober
from loadtest.protocol import Start

READY_TIMEOUT = 30.0
STEADY_TIMEOUT = 10.0
WELL_AGAIN_TIMEOUT = 20.0  # nginx takes a node up again after its fail_timeout, 5 s by default
SPAWN_SECONDS = 1.0
SLACK = 240.0
"""What starting, applying, undoing and arriving may take on top, until the generator ends by itself."""


class MakeCluster(Protocol):
    def __call__(self, spec: ClusterSpec) -> AbstractContextManager[Cluster]: ...


def run(
    case: Case,
    effort: Effort,
    operations: Path,
    make_cluster: MakeCluster,
    course: Course,
    watch: Callable[[], None],
) -> Trial:
    """Run one case; the generator writes to `operations`, `watch` is called several times a second.

    Raises ClusterError, GeneratorError, ProberError and KeyboardInterrupt. Whatever happens, a fault that was applied
    is undone, and nothing is left running.
    """
    trial = Trial(case, effort, operations)
    course.enter(STARTING)
    watch()
    with Generator() as generator, make_cluster(case.spec) as cluster:
        cluster.wait_ready(READY_TIMEOUT)
        trial.versions = dict(cluster.versions)
        _Run(trial, cluster, generator, course, watch).all()
    return trial


class _Run:
    def __init__(
        self, trial: Trial, cluster: Cluster, generator: Generator, course: Course, watch: Callable[[], None]
    ) -> None:
        self._trial, self._cluster, self._generator = trial, cluster, generator
        self._course, self._watch = course, watch

    def all(self) -> None:
        try:
            wait_steady(self._cluster, STEADY_TIMEOUT)
            self._load()
            with self._probing():
                self._phase(BEFORE)
                self._hold(BEFORE)
                wait_steady(self._cluster, STEADY_TIMEOUT)
                self._break()
                self._see_whether_it_is_well()
                self._hold(AFTER)
        except NotSteadyError as error:
            self._trial.unsteady = str(error)
        self._enter(CHECKING)
        self._trial.mark("end")
        if self._trial.when(BEFORE):
            figures = self._generator.stop()
            self._trial.generator_cpu = max(phase.generator_cpu for phase in figures)

    def _load(self) -> None:
        """Users come and log in."""
        self._enter(ARRIVAL)
        experiment, users = self._trial.case.experiment, self._trial.users
        self._generator.start(
            Start(
                url=self._cluster.url,
                accounts=dict(self._cluster.users),
                users=users,
                spawn_rate=users / SPAWN_SECONDS,
                phase=ARRIVAL,
                wait=self._trial.effort.wait,
                time_limit=self._course.seconds + SLACK,
                cookie=self._cluster.spec.session_cookie,
                mix=experiment.mix,
                history=str(self._trial.operations),
            )
        )
        wait_arrived(users, self._generator, self._look)

    def _break(self) -> None:
        """The fault, for as long as it is to last; undone however this ends."""
        trial, fault = self._trial, self._trial.case.variant.fault
        self._phase(DURING)
        trial.mark("fault")
        self._enter(FAULT)
        try:
            fault.apply(self._cluster)
            trial.faulty = now()
            self._hold(DURING)
        finally:
            trial.mark("undo")
            self._enter(UNDO)
            with uninterrupted():
                fault.undo(self._cluster)
            trial.undone = now()
        self._phase(AFTER)

    def _see_whether_it_is_well(self) -> None:
        try:
            wait_steady(self._cluster, WELL_AGAIN_TIMEOUT)
        except NotSteadyError as error:
            self._trial.unwell = str(error)

    @contextlib.contextmanager
    def _probing(self) -> Iterator[None]:
        with Prober(targets(self._cluster), time_limit=self._course.seconds + SLACK) as prober:
            yield
            self._trial.probes = prober.stop()

    def _phase(self, name: str) -> None:
        self._trial.mark(name)
        self._generator.enter(name)

    def _hold(self, name: str) -> None:
        seconds = self._enter(name)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._look()
            time.sleep(POLL)

    def _enter(self, name: str) -> float:
        stage = self._course.enter(name)
        self._watch()
        return stage.seconds

    def _look(self) -> None:
        self._generator.check()
        self._course.status.progress = self._generator.progress
        self._watch()
