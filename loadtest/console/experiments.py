"""The experiments as the console runs them: one at a time, each on a cluster of its own, watched and stopped."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self, cast

from deploy import Cluster, ClusterError, ClusterSpec
from deploy.compose.docker import require_engine
from loadtest.checker import Findings
from loadtest.claims.claim import Lacks
from loadtest.console.archive import Archive, describe_claim
from loadtest.console.live_claims import LiveClaim, judge_live
from loadtest.console.live_load import LATE
from loadtest.console.messages import Message, message, say_error
from loadtest.described.fit import fit
from loadtest.described.target import DescribedTarget
from loadtest.experiment import Case, Experiment, Place, Variant
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.history import now
from loadtest.progress import Schedule, Stage, Status
from loadtest.report.korean import say
from loadtest.results import Result
from loadtest.suite import MakeCluster, Suite, SuiteLoad
from loadtest.target import Target


class RunStage(StrEnum):
    """The stage of an experiment that was started."""

    RUNNING = "running"
    STOPPING = "stopping"
    """A person wants its end: the fault is undone, and its cluster ends."""
    ENDED = "ended"
    STOPPED = "stopped"
    FAILED = "failed"
    """Its results could not be written."""


class NotFinished(Exception):
    """An experiment has no result, or not for all of its variants."""

    def __init__(self, reason: Message) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Stop(Exception):
    """Raised where the experiment is watched, which ends it."""


@dataclass
class LiveRun:
    """The newest experiment of this console. Its own thread changes it, and every other one may read it."""

    name: str
    cases: Sequence[Case]
    stage: RunStage = RunStage.RUNNING
    status: Status = field(default_factory=lambda: Status("", 0, 0))
    lacks: Lacks = field(default_factory=dict)
    cluster: Cluster | None = None
    results: list[Result] = field(default_factory=list)
    reached: int = 0
    """Which of the stages of the present case has been reached."""
    claims: tuple[LiveClaim, ...] = ()
    counted_until: float = 0.0
    """Up to when the findings have all operations, in epoch seconds."""
    _judged: tuple[int, Findings | None] = (0, None)
    """The case and the findings that `claims` are of."""

    @property
    def case(self) -> Case:
        return self.cases[max(self.status.number, 1) - 1]

    @property
    def is_complete(self) -> bool:
        """Return whether it has ended after its last stage; a cluster may fail to start."""
        return self.stage is RunStage.ENDED and self.results[-1].timing is not None

    @property
    def words(self) -> list[str]:
        """The stages of the present case."""
        return [stage.words for stage in make_stages(self.case) if stage.words]

    def take(self, status: Status) -> None:
        """Take what the runner tells: its stage, and the findings so far."""
        number, findings = self._judged
        self.status = status
        if status.number != number:
            self.reached = 0
        if status.number != number or status.findings is not findings:
            self.claims = judge_live(self.case, status.findings, self.lacks)
            self._judged = status.number, status.findings
            self.counted_until = now() - LATE
        following = self.words[self.reached :]
        if status.stage in following:
            self.reached += following.index(status.stage)


class Experiments:
    """The experiments that this console can run.

    `clusters` has a factory for each place. `run` is for the director's thread, everything else for any. With a
    `target` they run on it as it is: it has been entered. `command` repeats one of them.
    """

    def __init__(
        self,
        clusters: Mapping[Place, MakeCluster],
        archive: Archive,
        target: DescribedTarget | None = None,
        command: str = "session-cluster failover run {name} --on {place}",
    ) -> None:
        self.archive = archive
        self._target, self._command = target, command
        self._why_not: Mapping[str, str] | None = None
        self.newest: LiveRun | None = None
        self.why_no_containers = "" if Place.COMPOSE in clusters else "this console has none"
        self._clusters = dict(clusters)
        self._stopping = threading.Event()

    @property
    def places(self) -> frozenset[Place]:
        """Where experiments can run."""
        return frozenset(self._clusters)

    @property
    def why_not(self) -> Mapping[str, str]:
        """Why experiments, or variants of them, can't run on the target; empty without one. Raises ClusterError."""
        if self._why_not is None and self._target is not None:
            self._why_not = fit(EXPERIMENTS, self._target, {}).refused
        return self._why_not or {}

    def find_containers(self, make_cluster: MakeCluster) -> None:
        """Use containers as soon as the Docker engine has answered, which may take a second."""
        self.why_no_containers = "the Docker engine has not answered yet"
        threading.Thread(target=self._ask_engine, args=(make_cluster,), name="engine", daemon=True).start()

    def _ask_engine(self, make_cluster: MakeCluster) -> None:
        try:
            require_engine()
        except ClusterError as error:
            self.why_no_containers = str(error)
        else:
            self._clusters = {**self._clusters, Place.COMPOSE: make_cluster}

    def expect(self) -> None:
        """Forget what was stopped before: an experiment was posted."""
        self._stopping.clear()

    def stop(self) -> None:
        """End the experiment that runs: its fault is undone, and its cluster ends."""
        self._stopping.set()

    def run(self, name: str) -> tuple[Result, ...]:
        """Run an experiment or one of its variants, "kill-node" or "replicas-cut-off.guarded", and return its results.

        Raises NotFinished.
        """
        experiment, variants = choose(name)
        wanted = {experiment.name: [one.name for one in variants]}
        suite = Suite(
            experiments=[experiment],
            load=SuiteLoad(),
            folder=self.archive.own,
            clusters={place: self._keep(make) for place, make in self._clusters.items()},
            command=self._command,
            variants=wanted,
        )
        if self._target is not None:
            fitting = fit([experiment], self._target, wanted if "." in name else {}).experiments
            suite = replace(suite, experiments=fitting, target=cast("Target", _Entered(self._target)))
        suite = replace(suite, first=self.archive.next_run([case.name for case in suite.cases]))
        run = self.newest = LiveRun(name, suite.cases, lacks={} if suite.target is None else suite.target.lacks)
        run.claims = judge_live(run.case, None, run.lacks)
        try:
            self.archive.own.mkdir(parents=True, exist_ok=True)
            for result in suite.run(self._watch):
                run.results = [*run.results, result]
                run.status.findings = result.findings  # those of the last moment had not the whole history
        except _Stop:
            run.stage = RunStage.STOPPED
            raise NotFinished(message("experiment_stopped")) from None
        except (OSError, ValueError) as error:  # the folder, or a damaged result in it
            run.stage = RunStage.FAILED
            raise NotFinished(say_error(error)) from error
        except KeyboardInterrupt:
            run.stage = RunStage.STOPPED
            raise
        except BaseException:
            run.stage = RunStage.FAILED
            raise
        finally:
            run.cluster = None
            with suppress(OSError):  # it has results
                self.archive.own.rmdir()
        run.stage = RunStage.ENDED
        return tuple(run.results)

    def _keep(self, make_cluster: MakeCluster) -> MakeCluster:
        def make(spec: ClusterSpec) -> Cluster:
            cluster = make_cluster(spec)
            if self.newest is not None:
                self.newest.cluster = cluster
            return cluster

        return make

    def _watch(self, status: Status) -> None:
        assert self.newest is not None
        if self._stopping.is_set():
            raise _Stop
        self.newest.take(status)

    def describe(self) -> dict[str, Any] | None:
        """Return the newest run for the snapshot; None: there was none yet."""
        run = self.newest
        if run is None:
            return None
        case, status = run.case, run.status
        is_over = run.stage is not RunStage.RUNNING
        is_stopping = not is_over and self._stopping.is_set()
        left = max(0.0, status.stage_ends_at - time.monotonic()) if status.stage_ends_at else None
        words = run.words
        return {
            "name": run.name,
            "stage": RunStage.STOPPING if is_stopping else run.stage,
            "number": case.experiment.number,
            "title": say(case.heading),
            "hypothesis": say(case.variant.hypothesis or case.experiment.hypothesis),
            "variant": max(status.number, 1),
            "variants": len(run.cases),
            "cluster": {
                "place": case.place,
                "target": case.target,
                "store": case.spec.store,
                "policy": case.spec.balance,
                "nodes": case.spec.nodes,
                "members": [] if is_over else list_members(run.cluster, case.place),
            },
            "stages": [say(one) for one in words],
            "reached": len(words) if run.is_complete else run.reached,
            "left": None if left is None or is_over else round(left, 1),
            "claims": [describe_claim(one.claim, one.phase, one.state, one.seen) for one in run.claims],
            "figures": None if status.findings is None else describe_figures(status.findings),
            "counted_until": round(run.counted_until, 1),
            "results": [self.archive.address(one) for one in run.results],
        }


class _Entered:
    """A target that has been entered, and goes on."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


def choose(name: str) -> tuple[Experiment, Sequence[Variant]]:
    """Return an experiment and its variants, or the one that "name.variant" says. Raises LookupError."""
    name, _, wanted = name.partition(".")
    experiment = BY_NAME[name]
    variants = [one for one in experiment.variants if wanted in ("", one.name)]
    if not variants:
        raise LookupError(f"{name} has no variant {wanted}")
    return experiment, variants


def refuse_experiment(name: str, places: frozenset[Place], why_no_containers: str) -> Message | None:
    """Return why an experiment or a variant of it can't run in any of these places, or None."""
    try:
        _, variants = choose(name)
    except LookupError:
        return message("no_such_value", value=name)
    if any(places & variant.places for variant in variants):
        return None
    if any(Place.COMPOSE in variant.places for variant in variants):
        return message("needs_containers", why=say(why_no_containers))
    if any(Place.SWARM in variant.places for variant in variants):
        return message("needs_machines", name=name)
    return message("needs_processes")


def refuse_on_running(name: str, why_not: Mapping[str, str]) -> Message | None:
    """Return why an experiment or a variant of it can't run on the target, or None."""
    try:
        choose(name)
    except LookupError:
        return message("no_such_value", value=name)
    why = why_not.get(name) or why_not.get(name.partition(".")[0])
    return message("target_refuses", why=why) if why else None


def list_names() -> list[str]:
    """Return all experiments, and "name.variant" where there are several."""
    return [name for one in EXPERIMENTS for name in (one.name, *_variants(one))]


def _variants(experiment: Experiment) -> list[str]:
    several = len(experiment.variants) > 1
    return [f"{experiment.name}.{one.name}" for one in experiment.variants] if several else []


def describe_experiment(experiment: Experiment) -> dict[str, Any]:
    """Return what the page shows of an experiment before it runs. `seconds` are an estimate for a machine like CI's."""
    return {
        "number": experiment.number,
        "name": experiment.name,
        "title": say(experiment.title),
        "hypothesis": say(experiment.hypothesis),
        "variants": [
            {
                "name": variant.name,
                "title": say(variant.title or variant.name),
                "hypothesis": say(variant.hypothesis),
                "store": variant.spec.store,
                "nodes": variant.spec.nodes,
                "fault": say(case.fault),
                "claims": [say(claim.claim) for claim in judge_live(case, None)],
                "seconds": round(sum(stage.seconds for stage in make_stages(case))),
            }
            for variant in experiment.variants
            for case in [Case(experiment, variant)]
        ],
    }


def make_stages(case: Case) -> Sequence[Stage]:
    """Return the stages that a run of this case has."""
    return Schedule(case.phases, Status("", 0, 0)).stages


def list_members(cluster: Cluster | None, place: Place) -> list[dict[str, Any]]:
    """Return the members of an experiment's cluster. Containers are not asked: that would take the sampler's time."""
    if cluster is None or place is not Place.LOCAL:
        return []
    with suppress(ClusterError):  # it starts or ends
        return [{"name": one.name, "role": one.role, "state": one.state} for one in cluster.members()]
    return []


def describe_figures(findings: Findings) -> dict[str, Any]:
    """Return what the checker found since the experiment's users arrived."""
    total = findings.total
    return {
        "operations": total.operations,
        "failed": total.failed,
        "users": total.users,
        "users_logged_out": total.users_logged_out,
        "updates_lost": findings.updates_lost,
        "gap": round(findings.gap, 2),
    }
