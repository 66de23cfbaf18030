"""The director: runs the cluster and its load in the calling thread, and executes commands one at a time."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from deploy import Cluster, ClusterError, ClusterSpec, Member, StoreKind
from deploy.compose.watched import WatchedCluster, find_shop
from loadtest.checker.phases import FAULT, UNDO
from loadtest.claims.claim import Lacks
from loadtest.console.archive import Archive
from loadtest.console.board import Board, EntryKind, Order
from loadtest.console.commands import COMMANDS, ClusterStage, ClusterState, Network, refuse, undo_all
from loadtest.console.experiments import Experiments, NotFinished
from loadtest.console.live_load import LiveLoad
from loadtest.console.messages import Message, message, say_error
from loadtest.console.stops import BY_NAME, OWN
from loadtest.described.runtime import DescribedCluster
from loadtest.described.target import DescribedTarget
from loadtest.experiment import Place
from loadtest.load_profile import LoadProfile
from loadtest.report.korean import Said, say
from loadtest.report.sentences import tell
from loadtest.results import CaseResults
from loadtest.suite import FAILURES, MakeCluster
from loadtest.target import ClusterTarget

MOST_WAITING = 20
_POLL = 0.5
_SECONDS_TO_RETRY = 5.0
WAIT = (0.2, 0.8)
SPAWN_RATE = 20.0
FAULTS = frozenset({"kill", "pause", "drain", "network", "failover"})
"""Commands that are a fault in the history, unless they undo one."""


class Refused(Exception):
    """A command that is not possible now."""

    def __init__(self, reason: Message) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Waiting(msgspec.Struct, frozen=True):
    """A command that waits or is being executed."""

    id: int
    order: Order

    @property
    def argument(self) -> str:
        return self.order.on or self.order.to

    @property
    def message(self) -> Message:
        return message(f"do_{self.order.do}", it=self.argument)


class Director:
    """`run` is for one thread, everything else for any.

    `started` is called with each cluster that runs. `users` is the number of virtual users, None for a cluster without
    a load. `folder` gets a folder for each load. With `keep` the history of each is completed at its end. `experiments`
    run on clusters of their own; without them they are like the cluster, and their results are in `folder`. With a
    `target`, its system is the cluster that `make_cluster` returns.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        users: int | None,
        make_cluster: MakeCluster,
        board: Board,
        folder: Path,
        *,
        keep: bool = False,
        started: Callable[[Any], None] | None = None,
        experiments: Experiments | None = None,
        target: DescribedTarget | None = None,
    ) -> None:
        self.experiments = experiments or Experiments({Place.LOCAL: make_cluster}, Archive(folder))
        self._spec, self._users, self._make_cluster = spec, users, make_cluster
        self._own_spec = spec
        self._target = target
        self._board, self._folder, self._keep, self._started = board, folder, keep, started
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._ids = itertools.count(1)
        self._network: Network | None = None
        self._stage = ClusterStage.STARTING
        self._changing: tuple[Waiting, float] | None = None
        """The change of the store that the next cluster completes, and when it began."""
        self.cluster: Cluster | None = None
        self.load: LiveLoad | None = None
        self.load_error = ""
        self.running: Waiting | None = None
        self.scene = OWN
        """The stop of the tour whose cluster this is."""
        self._why_not: Mapping[str, str] = {}
        self.state = ClusterState(stage=ClusterStage.STARTING, spec=spec, policy=spec.balance, network=None)
        """The newest state that `look` returned."""

    def post(self, order: Order) -> int:
        """Queue a command, and return its id. Raises Refused, with the reason, where it is not possible now."""
        argument = order.on or order.to
        known = replace(self.state, busy=self._is_busy(), experiment=self._find_experiment())
        if reason := refuse(known, order.do, argument):
            raise Refused(reason)
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise Refused(message("queue_full"))
            job = Waiting(next(self._ids), order)
            if order.do in {"stop", "undo"}:
                self.experiments.stop()
            if order.do == "stop":  # the experiment's own command ends, too, and says so
                self._log(EntryKind.DONE, job)
                return job.id
            if order.do == "experiment":
                self.experiments.expect()
            if order.do == "undo":  # what waits would only break more
                for dropped in self._waiting:
                    self._log(EntryKind.DROPPED, dropped)
                self._waiting.clear()
            self._waiting.append(job)
            if self.running is not None or len(self._waiting) > 1:
                self._log(EntryKind.QUEUED, job)
            self._changed.notify_all()
        return job.id

    @property
    def lacks(self) -> Lacks:
        """What the target's answers do not show."""
        return {} if self._target is None else self._target.lacks

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The commands that wait, the next one first."""
        with self._changed:
            return tuple(self._waiting)

    def look(self) -> ClusterState:
        """Return the present state, which asks the cluster for its members."""
        cluster, load = self.cluster, self.load
        members: tuple[Member, ...] = ()
        policy = self._spec.balance
        if cluster is not None:
            with suppress(ClusterError):  # it is starting or stopping
                members, policy = cluster.members(), cluster.policy
        self.state = ClusterState(
            stage=self._stage,
            spec=self._spec,
            policy=policy,
            network=self._network,
            members=members,
            users=self._users if load is None else load.users,
            load_failed=bool(self.load_error),
            busy=self._is_busy(),
            watched=cluster if isinstance(cluster, WatchedCluster) else None,
            described=cluster if isinstance(cluster, DescribedCluster) else None,
            why_not=self._why_not if isinstance(cluster, DescribedCluster) else {},
            experiment=self._find_experiment(),
            places=self.experiments.places,
            why_no_containers=self.experiments.why_no_containers,
        )
        return self.state

    def run(self) -> None:
        """Run the cluster, and the next one after each change of the store, until a signal raises KeyboardInterrupt."""
        try:
            while True:
                self._spec = self._run_cluster()
        finally:
            self._stage = ClusterStage.ENDED

    def _run_cluster(self) -> ClusterSpec:
        """Run one cluster. Return the spec of the next one, when another store is wanted."""
        self._stage, self._network = ClusterStage.STARTING, Network.OK if self._spec.store_proxy else None
        try:
            cluster = self.cluster = self._make_cluster(self._spec)
            if isinstance(cluster, DescribedCluster):
                self._network = Network.OK if cluster.runtime.store_proxy is not None else None
            with self._target or cluster:
                try:
                    self._why_not = self.experiments.why_not
                    self._start_load()
                    self._stage = ClusterStage.RUNNING
                    self.look()
                    self._log_seen("cluster_runs", url=find_shop(self.cluster))
                    self._complete_change(EntryKind.DONE)
                    if self._started is not None:
                        self._started(self.cluster)
                    return self._execute_all()
                finally:
                    self._end_load()
        except FAILURES as error:
            if isinstance(self.cluster, WatchedCluster):  # others change it: it may be well in a moment
                self._log_seen("cluster_failed", why=say(str(error)))
                time.sleep(_SECONDS_TO_RETRY)
                return self._spec
            self._stage, self.cluster = ClusterStage.FAILED, None
            if self._changing is None:
                self._log_seen("cluster_failed", why=say(str(error)))
            self._complete_change(EntryKind.FAILED, say_error(error))
            return self._execute_all()
        finally:
            self.cluster = None

    def _execute_all(self) -> ClusterSpec:
        """Execute commands until one wants another store; return the spec with it."""
        while True:
            job = self._take()
            if (spec := self._execute(job)) is not None:
                return spec
            self.look()  # the next command is posted for the state that this one leaves
            self.running = None

    def _complete_change(self, kind: EntryKind, reason: Message | None = None) -> None:
        """Log the end of a change of the store, if it was one that made this cluster."""
        if self._changing is not None:
            job, begin = self._changing
            self._log(kind, job, reason=reason, seconds=time.monotonic() - begin)
            self._changing = self.running = None

    def _is_busy(self) -> bool:
        return bool(self._waiting) or self.running is not None

    def _find_experiment(self) -> str:
        """Return the experiment that is being executed or waits, or the empty string."""
        jobs = (*self.waiting, self.running)  # in the order that a command takes
        return next((job.argument for job in jobs if job is not None and job.order.do == "experiment"), "")

    def _take(self) -> Waiting:
        with self._changed:
            while not self._waiting:
                self._changed.wait(_POLL)  # in steps, or a signal would wait for the next command
            self.running = self._waiting[0]
            return self._waiting.popleft()

    def _execute(self, job: Waiting) -> ClusterSpec | None:
        order, argument = job.order, job.argument
        state = replace(self.look(), experiment="")  # none runs beside it
        if reason := refuse(state, order.do, argument):
            self._log(EntryKind.FAILED, job, reason=reason)
            return None
        self._log(EntryKind.STARTED, job)
        begin = time.monotonic()
        self._mark(order)
        try:
            spec = self._do(order.do, argument, state)
        except NotFinished as error:
            self._log(EntryKind.FAILED, job, reason=error.reason, seconds=time.monotonic() - begin)
            return None
        except FAILURES as error:
            self._log(EntryKind.FAILED, job, reason=say_error(error), seconds=time.monotonic() - begin)
            return None
        if spec is None:
            self._log(EntryKind.DONE, job, seconds=time.monotonic() - begin)
        else:
            self._changing = job, begin
        return spec

    def _do(self, do: str, argument: str, state: ClusterState) -> ClusterSpec | None:
        """Execute a command that is possible. Return the spec of the next cluster if it needs one."""
        if do == "store":
            self._stage, self.scene = ClusterStage.STARTING, OWN
            return with_store(replace(self._spec, nodes=len(state.nodes) or self._spec.nodes), StoreKind(argument))
        if do == "scene":
            self._stage, self.scene = ClusterStage.STARTING, argument
            spec = self._own_spec if argument == OWN else BY_NAME[argument].spec
            spec = replace(spec, port=self._own_spec.port, start_timeout=self._own_spec.start_timeout)
            return with_store(spec, spec.store)
        if do == "experiment":
            self._run_experiment(argument)
            return None
        assert self.cluster is not None  # `refuse` knows the stage
        if (apply := COMMANDS[do].apply) is not None:
            apply(self.cluster, argument)
        if do == "network":
            self._network = Network(argument)
        elif do == "undo":
            undo_all(self.cluster, self._network)
            self._network = None if self._network is None else Network.OK
        elif do == "load":
            self._end_load()
            self._start_load()
        elif do == "users":
            assert self.load is not None
            self.load.set_users(int(argument))
            self._users = int(argument)
        return None

    def _run_experiment(self, name: str) -> None:
        """Run an experiment, while the users of this cluster pause: two cores are few."""
        with self._resting():
            results = self.experiments.run(name)
        for result in results:
            told = tell(CaseResults((result,)))
            text = say(result.reason if told is None else told.text)
            self._log_seen(f"experiment_{result.verdict.name.lower()}", title=say(result.heading), told=text)

    @contextmanager
    def _resting(self) -> Iterator[None]:
        load = None if self.load_error else self.load
        try:
            if load is not None:
                load.pause()
            yield
        except KeyboardInterrupt:
            load = None  # everything ends
            raise
        finally:
            if load is not None and not self.load_error:
                load.resume()

    def _start_load(self) -> None:
        if self._users is None:
            return
        assert self.cluster is not None
        self.load_error = ""
        names = (self._folder / f"load-{number}" for number in itertools.count(1))
        folder = next(name for name in names if not name.exists())
        folder.mkdir()
        profile = LoadProfile(users=max(1, self._users), spawn_rate=SPAWN_RATE, wait=WAIT)
        load = LiveLoad(self._target or ClusterTarget(self.cluster), profile, folder, keep=self._keep)
        load.__enter__()
        load.set_users(self._users)
        self.load = load

    def _end_load(self) -> None:
        load, self.load = self.load, None
        if load is None:
            return
        try:
            if self._keep and not self.load_error:
                load.finish()
        except FAILURES as error:
            self._log_seen("history_lost", why=say(str(error)))
        finally:
            load.__exit__(None, None, None)

    def _mark(self, order: Order) -> None:
        if self.load is not None and order.do in FAULTS:
            self.load.mark(UNDO if order.to == Network.OK else FAULT)
        elif self.load is not None and order.do == "undo":
            self.load.mark(UNDO)

    def _log(self, kind: EntryKind, job: Waiting, *, reason: Message | None = None, seconds: float = 0.0) -> None:
        self._board.log(kind, job.message, command=job.id, order=job.order, reason=reason, seconds=seconds)

    def _log_seen(self, key: str, **values: str | int | float | Said) -> None:
        self._board.log(EntryKind.SEEN, message(key, **values))


def with_store(spec: ClusterSpec, store: StoreKind) -> ClusterSpec:
    """Return the spec with another store, and a proxy before it where that is one server."""
    plain = replace(spec, store=store, store_proxy=False)
    return replace(plain, store_proxy=plain.has_single_server)
