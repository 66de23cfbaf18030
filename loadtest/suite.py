"""Several experiments, one after another: each variant is run and evaluated, and its result is written."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from deploy import Cluster, ClusterError, ClusterSpec, NodeKind, Role
from deploy.files import write_json
from loadtest.claims.claim import (
    ClaimResult,
    Lacks,
    Observed,
    Sight,
    broken,
    evaluate,
    holds,
    list_failures,
    not_enough,
    not_looked_for,
    worst,
)
from loadtest.claims.data import find_unsent
from loadtest.evidence_requests import ProofRequests, list_requests
from loadtest.experiment import ARRIVAL, BEFORE, Case, Experiment, Phase, Place, make_case_name
from loadtest.faults import NOTHING
from loadtest.generator import GeneratorError
from loadtest.history import EventsOf, HistoryError, Op, Probe
from loadtest.load_profile import LoadProfile, Mix
from loadtest.prober.client import ProberError
from loadtest.progress import Schedule, Status
from loadtest.results import (
    HISTORY,
    RESULT,
    Result,
    describe_machine,
    list_own_versions,
    list_versions,
    replacing,
    write_results,
)
from loadtest.runner import Run, Runner, run_phases
from loadtest.steady import NotSteadyError
from loadtest.target import ClusterTarget, Target, TargetError, describe

MakeCluster = Callable[[ClusterSpec], Cluster]
STEADY_AFTER = "the cluster is steady after the undo"
FAILURES = (ClusterError, GeneratorError, ProberError, HistoryError, TargetError)


class RunStopped(KeyboardInterrupt):
    """A signal has ended a run whose phases until then have a result."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True)
class SuiteLoad:
    """The number of users, their wait in seconds (from, to) between two requests, and the factor (0 to 1) for the
    duration of each phase."""

    users: int = 24
    wait: tuple[float, float] = (0.2, 0.8)
    share: float = 1.0


@dataclass(frozen=True)
class Suite:
    """Experiments and where to run them.

    `clusters` has a factory for each place: a variant is run in the first place that it can run in. `command` repeats
    one case: "session-cluster failover run {name}". `variants` limits experiments to some of their variants. The runs
    of each case are numbered from `first`. Without `probes` there is neither a prober nor a check of the steady state.
    With a `target` its system is started and stopped for each run, and the experiments are those that fit it.
    """

    experiments: Sequence[Experiment]
    load: SuiteLoad
    folder: Path
    clusters: Mapping[Place, MakeCluster] = field(default_factory=dict)
    command: str = ""
    repeat: int = 1
    first: int = 1
    node: NodeKind = NodeKind.FLASK
    probes: bool = True
    variants: Mapping[str, Collection[str]] = field(default_factory=dict)
    target: Target | None = None

    @property
    def cases(self) -> list[Case]:
        """The variants that can run in one of the places, with a store that the kind of node supports."""
        if self.target is not None:
            name = str(self.target.description["node"])
            return [
                Case(one, variant, place=Place.TARGET, target=name) for one in self.experiments
                for variant in one.variants
            ]  # fmt: skip
        return [
            Case(experiment, variant, self.node, places[0])
            for experiment in self.experiments
            for variant in experiment.variants
            if variant.spec.store in self.node.stores
            and (not self.variants.get(experiment.name) or variant.name in self.variants[experiment.name])
            if (places := [place for place in self.clusters if place in variant.places])
        ]

    @property
    def runs(self) -> int:
        return len(self.cases) * self.repeat

    def list_short(self) -> list[str]:
        """Return in a line each the claims that need more users than there are."""
        short: dict[tuple[int, str, int], list[str]] = {}
        for case in self.cases:
            users = case.experiment.users or self.load.users
            of_phases = (claim for phase in case.phases for claim in phase.claims)
            for claim in (*case.variant.arrival, *case.variant.claims, *of_phases):
                if claim.min_users > users and not (self.target and claim.find_missing(self.target.lacks)):
                    short.setdefault((users, claim.text, claim.min_users), []).append(case.experiment.name)
        return [
            f'{users} users are too little data for "{text}": {needed} are needed ({", ".join(dict.fromkeys(names))})'
            for (users, text, needed), names in short.items()
        ]

    def run(self, watch: Callable[[Status], None]) -> Iterator[Result]:
        """Run everything, and yield each result as soon as it exists. A run that fails is a result too.

        Raises OSError where results cannot be written, and KeyboardInterrupt, which may be a `RunStopped`.
        """
        rounds = [(case, number) for case in self.cases for number in range(self.first, self.first + self.repeat)]
        status = Status("", 0, len(rounds))
        seconds = [Schedule(self._phases(case), status).seconds for case, _ in rounds]
        for position, (case, number) in enumerate(rounds):
            status.title, status.number, status.findings = case.heading, position + 1, None
            schedule = Schedule(self._phases(case), status, sum(seconds[position + 1 :]))
            yield self._run_case(case, number, schedule, watch)

    def _phases(self, case: Case) -> list[Phase]:
        return [phase.scaled(self.load.share) for phase in case.phases]

    def _run_case(self, case: Case, number: int, schedule: Schedule, watch: Callable[[Status], None]) -> Result:
        with replacing(self.folder / case.name / str(number)) as folder:
            result, stopped = self._make_result(case, number, schedule, watch, folder)
            write_json(folder / RESULT, result)
        write_results(self.folder)
        if stopped is not None:
            raise RunStopped(result) from stopped
        return result

    def _make_result(
        self, case: Case, number: int, schedule: Schedule, watch: Callable[[Status], None], folder: Path
    ) -> tuple[Result, KeyboardInterrupt | None]:
        """Return the result of a run, and the signal that stopped it."""
        users = case.experiment.users or self.load.users
        requests: tuple[ProofRequests, ...] = ()
        lacks: Lacks = {} if self.target is None else self.target.lacks
        try:
            weights = dict(case.experiment.weights)
            profile = LoadProfile(users=users, spawn_rate=users, wait=self.load.wait, mix=case.mix, weights=weights)
            target = self.target or ClusterTarget(self.clusters[case.place](case.spec))
            experiment = case.experiment
            runner = Runner(
                target, profile, folder, schedule, watch, title=case.title, probes=self.probes,
                keep=experiment.kept_history, operations=experiment.operations,
            )  # fmt: skip
            run = run_phases(runner, self._phases(case), ends_at_loss=experiment.ends_at_loss)
            lacks = {**find_unsent(run.findings), **lacks} if self.target else target.lacks
            claims = evaluate_run(case, run, folder / HISTORY, steady=self.probes, lacks=lacks)
            requests = list_requests(run.findings, EventsOf(folder / HISTORY, Op, end_will_do=True))
            if run.stopped is not None:
                claims = (*claims, not_enough("a signal stopped it").named("the run ends by itself"))
        except NotSteadyError as error:
            run, claims = None, (not_enough(str(error)).named("the cluster is steady before the fault"),)
        except FAILURES as error:
            run, claims = None, (not_enough(str(error)).named("the experiment runs"),)
        command = self.command.format(name=make_case_name(case.experiment.name, case.variant.name), place=case.place)
        result = make_result(case, run, claims, number, users, command)
        result = msgspec.structs.replace(result, requests=requests)
        if self.target is not None:
            named = {str(what): why for what, why in lacks.items()}
            result = msgspec.structs.replace(result, cluster=dict(self.target.description), lacks=named)
        return result, run.stopped if run else None


def evaluate_run(
    case: Case, run: Run, history: Path, steady: bool, lacks: Lacks | None = None
) -> tuple[ClaimResult, ...]:
    """Evaluate the claims of each phase, and those of the whole run. With `steady` also the steady state
    before the fault and after its undo. Raises HistoryError."""
    missing = dict(lacks or {})
    if case.target and not run.findings.total.nodes:
        missing.setdefault(Sight.NODES, "no answer names the node that it is from")
    seen = Observed(run.findings, timing=run.timing, processes=run.processes, lacks=missing)
    if case.variant.claims:
        seen = replace(seen, ops=EventsOf(history, Op), probes=EventsOf(history, Probe))
    results: list[ClaimResult] = []
    faulty = case.fault != NOTHING.what
    if steady:
        results.append(check_before(case, seen).named(name_before(case)))
    if case.target and any(need.on.startswith(Role.NODE) for phase in case.phases for need in phase.fault.needs):
        results.append(_check_nodes(seen, run.nodes).named("every node serves before the fault"))
    for name, claims in ((ARRIVAL, case.variant.arrival), *((phase.name, phase.claims) for phase in case.phases)):
        results += (claim.check(seen.within(name)).named(claim.describe(seen.lacks), name) for claim in claims)
    results += evaluate(case.variant.claims, seen)
    if steady and faulty:
        well = "every member runs, and answers are good" if case.target else "every node answers"
        recovery = broken(run.unsteady_after) if run.unsteady_after else holds(well)
        results.append(recovery.named(STEADY_AFTER))
    return tuple(results)


def _check_nodes(seen: Observed, nodes: int) -> ClaimResult:
    """Return NOT_ENOUGH_DATA where some node has answered nothing: it may be the one that fails."""
    if Sight.NODES in seen.lacks:
        return not_looked_for(seen.lacks[Sight.NODES])
    answered = seen.within(BEFORE).figures.nodes
    if len(answered) < nodes:
        names = ", ".join(answered) or "none"
        return not_enough(f"of {nodes} nodes {names} answered: where another one fails, nobody notices")
    return holds(f"{', '.join(answered)} answered")


def name_before(case: Case) -> str:
    """Return the claim about the time before the fault."""
    return f"no request fails before the {'measurement' if case.fault == NOTHING.what else 'fault'}"


def check_before(case: Case, seen: Observed) -> ClaimResult:
    """Return NOT_ENOUGH_DATA for failures before the fault: they neither support nor break the hypothesis."""
    if case.mix is Mix.LOGOUT_RACE:
        return holds("not checked: writes that come after a logout fail")
    count = 0
    for phase in (ARRIVAL, BEFORE):
        figures = seen.within(phase).figures
        if figures.failed:
            return not_enough(f"requests failed already: {list_failures(figures.failures)}")
        count += figures.operations
    return holds(f"0 of {count:,} requests failed")


def make_result(
    case: Case, run: Run | None, claims: tuple[ClaimResult, ...], number: int, users: int, command: str
) -> Result:
    experiment, variant = case.experiment, case.variant
    overall = worst(claims)
    return Result(
        number=experiment.number,
        name=experiment.name,
        variant=variant.name,
        position=experiment.variants.index(variant),
        run=number,
        title=case.title,
        hypothesis=variant.hypothesis or experiment.hypothesis,
        reference="" if case.target else case.reference,  # which is about clusters of this project
        fault=case.fault,
        mix=case.mix,
        place=case.place,
        users=users,
        verdict=overall.verdict,
        reason=overall.reason,
        claims=claims,
        timing=run.timing if run else None,
        findings=run.findings if run else None,
        processes=run.processes if run else (),
        generator_cpu=max(phase.generator_cpu for phase in run.findings.phases.values()) if run else 0.0,
        cluster={} if case.target else describe(case.spec),
        versions=list_own_versions() if case.target else list_versions(run.versions if run else {}),
        machine=describe_machine(),
        command=command,
    )
