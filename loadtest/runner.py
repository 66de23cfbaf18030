"""One run: the target up, users on it, phase after phase with their faults, each undone, everything down again."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy import Cluster, ClusterError, Member, Role
from deploy.signals import uninterrupted
from loadtest.checker import HORIZON, Findings
from loadtest.checker.phases import END, FAULT, UNDO
from loadtest.claims.claim import SESSION, SITE, Sight, Timing
from loadtest.experiment import AFTER, ARRIVAL, Phase
from loadtest.generator import Generator, GeneratorError
from loadtest.history import VERSION, Header, Mark, Note, now
from loadtest.history_run import HistoryRun
from loadtest.load_profile import Arrivals, LoadProfile
from loadtest.prober.client import Prober
from loadtest.prober.process import Endpoint
from loadtest.processes import ProcessChange, Sample, compare, measure
from loadtest.progress import CHECKING, STARTING, Schedule, Status
from loadtest.steady import NotSteadyError, wait_steady
from loadtest.target import Target, TargetError, log_in

GENERATOR, PROBER = "load generator", "prober"
UNDONE, FAULTS = "the fault is undone", "faults"
"""The text of the note after each fault, and its figure: how many faults there were until then."""
READY_TIMEOUT = 30.0
STEADY_TIMEOUT = 10.0
RECOVERY_TIMEOUT = 20.0  # nginx uses a failed node again after fail_timeout, 5 s by default
ARRIVAL_TIMEOUT = 60.0
PATIENCE = 5
"""Limit, as a multiple of its seconds, for a phase that waits for enough data on a slow machine."""
POLL = 0.1


@dataclass(frozen=True)
class Run:
    """Evidence of one run."""

    findings: Findings
    timing: Timing
    versions: Mapping[str, str]
    unsteady_after: str = ""
    """Why there was no steady state after the undo."""
    stopped: KeyboardInterrupt | None = None
    """The signal that ended it early."""
    processes: tuple[ProcessChange, ...] = ()
    """From the first to the last phase that is `measured`."""
    nodes: int = 0
    """How many there were at the end; 0: unknown."""


class Runner:
    """Drives a target through phases while it is `running`.

    `folder` gets the history, whose header has `title`. With `probes`, the cluster must be in its
    steady state before each fault and after its undo, and a prober requests two pages all the time. `watch` is called
    several times a second; what it raises ends the run. `keep` is that of `HistoryRun`. When there are `operations`
    (0: no limit), phases other than AFTER are passed over.

    Everything raises ClusterError, GeneratorError, ProberError, TargetError, HistoryError, and OSError where the folder
    is not writable. In any case the fault is undone and all processes are stopped.
    """

    def __init__(
        self,
        target: Target,
        profile: LoadProfile,
        folder: Path,
        schedule: Schedule,
        watch: Callable[[Status], None],
        *,
        title: str = "",
        probes: bool = False,
        keep: int | None = None,
        operations: int = 0,
    ) -> None:
        self._target, self._profile, self._folder = target, profile, folder
        self._schedule, self._watch, self._probes = schedule, watch, probes
        self._keep, self._operations = keep, operations
        self._faults = 0
        self._samples: list[Mapping[str, Sample]] = []
        self._started = now()
        self._title = title
        self._times: dict[str, float] = {}
        self._prober: Prober | None = None
        self._unsteady_after = ""
        self.members: tuple[Member, ...] = ()
        """As they were before the users came."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start the target and the load, and wait until all users have arrived; stop everything in the end."""
        self._enter(STARTING)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._target)
            if self._target.cluster is not None:
                self._target.cluster.wait_ready(READY_TIMEOUT)
                self.members = self._target.cluster.members()
            if self._probes:
                wait_steady(self._target, STEADY_TIMEOUT)
            self._generator = Generator(self._profile, self._target, self._folder)
            self._history = HistoryRun(
                self._folder,
                make_header(self._target, self._profile, self._title, self._started),
                self._generator.parts,
                keep=self._keep,
            )
            stack.callback(self._history.remove_parts)
            stack.enter_context(self._generator)
            self._mark(ARRIVAL)
            self._generator.start()
            self._enter(ARRIVAL)
            self._wait_for_arrival()
            if self._probes:
                self._prober = stack.enter_context(self._make_prober())
            yield

    def run(self, phase: Phase) -> None:
        """Run one phase. A fault with `undo` is undone in any case."""
        if self._has_enough_operations() and phase.name != AFTER:
            return
        if self._probes and phase.undo:
            if "undone" in self._times:
                self._check_recovery()
            else:
                wait_steady(self._target, STEADY_TIMEOUT)
        self._mark(phase.name)
        if self._probes and phase.name == AFTER:
            self._check_recovery()
        with self._arriving(phase):
            if not phase.undo and not phase.fault.seconds:
                self._hold(phase)
                if phase.measured:
                    self._measure()
                return
            self._mark(FAULT)
            self._enter(f"{phase.name}: fault")
            try:
                phase.fault.apply(self._cluster)
                self._note("faulty", "the fault is applied")
                self._hold(phase)
            finally:
                if phase.undo:
                    self._undo(phase)

    def _measure(self) -> None:
        helpers = {GENERATOR: self._generator.pid}
        if self._prober is not None:
            helpers[PROBER] = self._prober.pid
        self._samples = [*self._samples[:1], measure(self._cluster, helpers)]

    def _undo(self, phase: Phase) -> None:
        """Undo the fault of a phase, also when `watch` raises to end the run."""
        try:
            self._mark(UNDO)
            self._enter(f"{phase.name}: undo")
        finally:
            with uninterrupted():
                phase.fault.undo(self._cluster)
        self._faults += 1
        self._note("undone", UNDONE, {FAULTS: self._faults})

    def finish(self, stopped: KeyboardInterrupt | None = None) -> Run:
        """End the load, and check its history. `stopped` is the signal that ended the phases early."""
        self._enter(CHECKING)
        self._mark(END)
        if self._prober is not None:
            self._prober.stop()
        self._generator.stop()
        cluster = self._target.cluster
        return Run(
            self._history.finish(self._prober),
            self._make_timing(),
            dict(cluster.versions) if cluster is not None else {},
            self._unsteady_after,
            stopped,
            compare(*self._samples) if len(self._samples) == 2 else (),
            self._count_nodes(),
        )

    def _count_nodes(self) -> int:
        with contextlib.suppress(ClusterError):
            cluster = self._target.cluster
            return 0 if cluster is None else sum(member.role is Role.NODE for member in cluster.members())
        return 0

    def has_lost(self) -> bool:
        """Return whether something was lost so far, or the target was not steady after a fault.

        Blocks for up to HORIZON seconds where something is found: an answer that is on its way may still explain it.
        """
        until = time.monotonic() + HORIZON
        while not self._unsteady_after and any(self._look().total.found.values()):
            if time.monotonic() > until:
                return True
            time.sleep(POLL)
        return bool(self._unsteady_after)

    @property
    def _cluster(self) -> Cluster:
        assert self._target.cluster is not None, "faults and probes need a cluster"
        return self._target.cluster

    def _make_prober(self) -> Prober:
        """Return a prober with a session of its own. Raises NotSteadyError if the login fails."""
        try:
            session = make_session_endpoint(self._target)
        except TargetError as error:
            raise NotSteadyError(str(error)) from error
        if Sight.SITE in self._target.lacks:
            return Prober((session,))
        site = msgspec.structs.replace(session, name=SITE, url=self._target.url + self._target.adapter.site, cookie="")
        return Prober((site, session))

    def _wait_for_arrival(self) -> None:
        """Wait until every user has an answer to its login, also on a slow machine.

        Raises GeneratorError after a timeout.
        """
        users = self._profile.users
        seconds = users / self._profile.spawn_rate + ARRIVAL_TIMEOUT
        deadline = time.monotonic() + seconds
        while self._look().total.users < users:
            if time.monotonic() > deadline:
                raise GeneratorError(f"not all of the {users} users could log in within {seconds:.0f} s")
            time.sleep(POLL)

    def _hold(self, phase: Phase) -> None:
        self._enter(phase.name)
        begin = time.monotonic()
        end, latest = begin + phase.seconds, begin + PATIENCE * phase.seconds
        while (time_now := time.monotonic()) < end or (time_now < latest and not self._has_enough(phase)):
            self._look()
            time.sleep(min(POLL, max(end - time_now, 0.01)))

    @contextlib.contextmanager
    def _arriving(self, phase: Phase) -> Iterator[None]:
        """Let the phase's requests arrive beside the users."""
        if phase.arrivals is None:
            yield
            return
        best = max((one.goodput for one in self._look().phases.values()), default=0.0)
        self._generator.set_arrivals(phase.arrivals.at_best(best))
        try:
            yield
        finally:
            self._generator.set_arrivals(Arrivals())

    def _has_enough_operations(self) -> bool:
        findings = self._schedule.status.findings
        return bool(self._operations) and findings is not None and findings.total.operations >= self._operations

    def _has_enough(self, phase: Phase) -> bool:
        if not phase.min_requests:
            return True
        figures = self._look().phases.get(phase.name)
        return figures is not None and figures.as_logged_in >= phase.min_requests

    def _check_recovery(self) -> None:
        try:
            wait_steady(self._target, RECOVERY_TIMEOUT)
        except NotSteadyError as error:
            self._unsteady_after = str(error)

    def _look(self) -> Findings:
        self._generator.check()
        with uninterrupted():  # events that were read and not checked would be missing
            findings = self._history.read(self._prober)
        self._schedule.status.findings = findings
        self._watch(self._schedule.status)
        return findings

    def _enter(self, stage: str) -> None:
        self._schedule.enter(stage)
        findings = self._schedule.status.findings
        if self._operations and findings is not None and findings.total.rate:
            left = (self._operations - findings.total.operations) / findings.total.rate
            self._schedule.status.ends_at = min(self._schedule.status.ends_at, time.monotonic() + max(left, 0.0))
        self._watch(self._schedule.status)

    def _mark(self, name: str) -> None:
        mark = Mark(now(), name)
        self._times.setdefault(name, mark.at)
        self._history.write(mark)

    def _note(self, name: str, text: str, figures: Mapping[str, float] | None = None) -> None:
        note = Note(now(), text, figures or {})
        self._times.setdefault(name, note.at)
        self._history.write(note)

    def _make_timing(self) -> Timing:
        """Return the timing.

        Without a fault its time is that of the first phase; a fault without undo lasts to the end.
        """
        ended = self._times[END]
        before = next((at for name, at in self._times.items() if name != ARRIVAL), ended)
        fault, undo = self._times.get(FAULT, before), self._times.get(UNDO, ended)
        return Timing(
            started=self._started,
            before=before,
            fault=fault,
            faulty=self._times.get("faulty", fault),
            undo=undo,
            undone=self._times.get("undone", undo),
            ended=ended,
        )


def make_header(target: Target, profile: LoadProfile, title: str, started: float) -> Header:
    """Return the first line of the history of a load on a target that runs."""
    lifetime = target.session_lifetime
    load = {"users": profile.users, "wait": profile.wait, "mix": profile.mix.value}
    return Header(
        version=VERSION,
        title=title,
        started=started,
        cluster={"url": target.url, **target.description, **load},
        idle_timeout=lifetime.idle if lifetime else None,
        lifetime=lifetime.absolute if lifetime else None,
        login_empties=target.adapter.login_empties,
    )


def make_session_endpoint(target: Target) -> Endpoint:
    """Return what a prober requests with a session of its own. Raises TargetError if the login fails."""
    look = target.adapter.look
    return Endpoint(
        name=SESSION,
        url=target.url + look.path,
        cookie=log_in(target),
        headers=dict(look.headers or {}),
        authority=None if target.authority is None else str(target.authority.resolve()),
        insecure=target.insecure,
    )


def run_phases(runner: Runner, phases: Sequence[Phase], *, ends_at_loss: bool = False) -> Run:
    """Run all phases, or those up to the first loss or Ctrl-C: what was seen until then is a run, too.

    Raises KeyboardInterrupt unless it `ends_at_loss`, NotSteadyError without a steady state before the first fault, and
    what `Runner` raises.
    """
    with runner.running():
        stopped = None
        try:
            for phase in phases:
                runner.run(phase)
                if ends_at_loss and runner.has_lost():
                    break
        except KeyboardInterrupt as error:
            if not ends_at_loss:
                raise
            stopped = error
        return runner.finish(stopped)
