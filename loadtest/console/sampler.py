"""The sampler: a thread that looks at cluster and load four times a second, and publishes what the page shows."""

import threading
import time
from contextlib import suppress
from typing import Any

import msgspec

from deploy import Cluster, ClusterError, Member, MemberState, Role
from deploy.compose.watched import find_shop
from deploy.waiting import look_until
from loadtest.checker import Findings
from loadtest.console.board import Board, EntryKind
from loadtest.console.commands import SLOW_SECONDS, ClusterStage, ClusterState, Network, refused
from loadtest.console.director import Director
from loadtest.console.live_load import LATE, OLD, SECONDS_RECENT, LiveLoad, NodeFigures
from loadtest.console.messages import Message, message
from loadtest.console.node_watch import NodeWatch
from loadtest.experiment import Place
from loadtest.history import now
from loadtest.report.korean import say
from loadtest.suite import FAILURES

INTERVAL = 0.25
STORE_INTERVAL = 1.0
MOST_PAUSE = 2.0
"""Seconds between two snapshots where a look takes long: after more of them, pages say that the connection is lost."""
SECONDS_SHOWN = 60
FEW_OPERATIONS = 20
"""Fewer operations than these make no percentile."""
_MOST_SPANS = 50
_SECONDS_BETWEEN = 5.0
"""At least, from one line of the log about lost sessions to the next."""


class Span(msgspec.Struct):
    """A fault, from when it was seen until it was gone (None: it lasts)."""

    what: str
    begin: float
    end: float | None = None


class StoreWatch(threading.Thread):
    """Asks the store for its primaries and counters once a second. A store that hangs delays this thread alone."""

    def __init__(self, director: Director) -> None:
        super().__init__(name="store", daemon=True)
        self._director = director
        self.primaries: frozenset[str] = frozenset()
        self.rate: float | None = None
        """Commands per second; None: unknown."""
        self._cluster: Cluster | None = None
        self._before: tuple[float, int] | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        for _ in look_until(self.stopping, lambda took: max(STORE_INTERVAL, 4 * took)):
            self._ask(self._director.cluster)

    def _ask(self, cluster: Cluster | None) -> None:
        if cluster is not self._cluster or cluster is None:
            self.primaries, self.rate, self._before, self._cluster = frozenset(), None, None, cluster
        if cluster is None or not cluster.spec.store.needs_redis:
            return
        try:
            primaries = cluster.store.primaries()
            commands, at = sum(cluster.store.statistics().commands.values()), time.monotonic()
        except ClusterError:
            self.rate, self._before = None, None
            return
        if self._before is not None and commands >= self._before[1]:
            self.rate = (commands - self._before[1]) / (at - self._before[0])
        self._before = (at, commands)
        self.primaries = primaries


class Sampler(threading.Thread):
    """Publishes a snapshot every INTERVAL seconds, or less often where the cluster takes long to answer."""

    def __init__(self, director: Director, board: Board, place: Place, nodes: NodeWatch | None = None) -> None:
        super().__init__(name="sampler", daemon=True)
        self._director, self._board, self._place = director, board, place
        self._nodes = nodes
        """Tells the figures of nodes where the answers to users do not."""
        self._store = StoreWatch(director)
        self._addresses: dict[str, str] = {}
        """Address -> name, also of addresses that a member had before."""
        self._states: dict[str, MemberState] = {}
        self._spans: list[Span] = []
        self._url: tuple[Cluster | None, str] = (None, "")
        """The address of the newest cluster's shop: it does not change."""
        self._refused: tuple[ClusterState | None, dict[str, Message]] = (None, {})
        """What is not possible in the newest state, which is mostly the one before."""
        self._load: LiveLoad | None = None
        self._found = (0, 0)
        self._told = 0.0
        self._stopping = threading.Event()

    def run(self) -> None:
        self._store.start()
        if self._nodes is not None:
            self._nodes.start()
        for _ in look_until(self._stopping, make_pause):
            self.sample()
        self._store.stopping.set()
        if self._nodes is not None:
            self._nodes.stopping.set()

    def stop(self) -> None:
        """End the thread, and publish how everything ended."""
        self._stopping.set()
        self.join(timeout=2.0)
        self.sample()

    def sample(self) -> None:
        """Look once, and publish."""
        state, load = self._director.look(), self._director.load
        if load is not self._load:
            self._load, self._found = load, (0, 0)
        if load is not None and not self._director.load_error:
            self._sample_load(load)
        self._notice(state)
        self._board.publish(self._describe(state, load))

    def _sample_load(self, load: LiveLoad) -> None:
        try:
            load.sample()
        except (*FAILURES, OSError) as error:
            self._director.load_error = str(error)
            self._board.log(EntryKind.SEEN, message("load_failed", why=say(str(error))))
            return
        findings, at = load.findings, now()
        found = findings.total.users_logged_out, findings.updates_lost
        if at < self._told + _SECONDS_BETWEEN or not (found[0] > self._found[0] or found[1] > self._found[1]):
            return
        if found[0] > self._found[0]:
            self._board.log(EntryKind.SEEN, message("found_logged_out", users=found[0], of=findings.total.users))
        if found[1] > self._found[1]:
            self._board.log(EntryKind.SEEN, message("found_updates_lost", count=found[1]))
        self._found, self._told = found, at

    def _notice(self, state: ClusterState) -> None:
        """Log what changed by itself or by a command, and keep the spans of faults."""
        self._addresses |= {member.address: member.name for member in state.members}
        if state.stage is ClusterStage.RUNNING:
            for member in state.members:
                before = self._states.get(member.name)
                if before is not None and before is not member.state:
                    self._board.log(EntryKind.SEEN, message(f"now_{member.state}", name=member.name))
        known = state.members if state.stage is ClusterStage.RUNNING else ()
        self._states = {member.name: member.state for member in known}
        faults = {
            f"{member.state} {member.name}": None
            for member in state.members
            if state.stage is ClusterStage.RUNNING and member.state not in {MemberState.RUNNING, MemberState.UNKNOWN}
        }
        if state.network not in {None, Network.OK}:
            faults[f"network {state.network}"] = None
        at = round(now(), 2)
        for span in self._spans:
            if span.end is None and span.what not in faults:
                span.end = at
        open_spans = {span.what for span in self._spans if span.end is None}
        self._spans += [Span(what, at) for what in faults if what not in open_spans]
        self._spans = [one for one in self._spans if one.end is None or one.end > at - SECONDS_SHOWN][-_MOST_SPANS:]

    def _describe(self, state: ClusterState, load: LiveLoad | None) -> dict[str, Any]:
        at = now()
        end = int(at - LATE)
        nodes = load.recent.nodes(at - LATE) if load is not None else {}
        by_name: dict[str, NodeFigures] = {}
        for address, figures in nodes.items():
            by_name[self._addresses.get(address, address)] = figures
        if self._nodes is not None:
            by_name = dict(self._nodes.figures)
        running, cluster = self._director.running, self._director.cluster
        return {
            "at": round(at, 2),
            "stage": state.stage,
            "place": self._place,
            "watched": state.watched is not None,
            "cluster": {
                "url": self._find_url(cluster) if state.stage is ClusterStage.RUNNING else "",
                "target": "" if state.described is None else state.described.title,
                "lacks": self._director.lacks,
                "store": state.spec.store if state.described is None else None,
                "database": state.spec.database,
                "node": state.spec.node,
                "policy": state.policy if state.described is None else None,
                "network": state.network,
                "slow_ms": round(SLOW_SECONDS * 1000),
                "nodes": len(state.nodes),
            },
            "members": [self._describe_member(state, member, by_name) for member in state.members],
            "store_rate": None if self._store.rate is None else round(self._store.rate, 1),
            "load": _describe_load(load, self._director.load_error),
            "figures": None if load is None else _describe_findings(load.findings, load, at),
            "series": {
                "begin": end - SECONDS_SHOWN,
                "checked_until": 0 if load is None else load.recent.checked_until,
                "seconds": [] if load is None else load.recent.series(end - SECONDS_SHOWN, end),
            },
            "faults": self._spans,
            "experiment": self._director.experiments.describe(),
            "running": running,
            "waiting": self._director.waiting,
            "refused": self._list_refused(state),
        }

    def _list_refused(self, state: ClusterState) -> dict[str, Message]:
        if state != self._refused[0]:
            self._refused = state, refused(state)
        return self._refused[1]

    def _find_url(self, cluster: Cluster | None) -> str:
        if cluster is not None and (cluster is not self._url[0] or not self._url[1]):
            with suppress(ClusterError):
                self._url = cluster, find_shop(cluster)
        return self._url[1] if cluster is self._url[0] else ""

    def _describe_member(self, state: ClusterState, member: Member, nodes: dict[str, NodeFigures]) -> dict[str, Any]:
        part = ""
        if member.role is Role.STORE and state.spec.store.has_several_servers and self._store.primaries:
            part = "primary" if member.name in self._store.primaries else "replica"
        return {
            "name": member.name,
            "role": member.role,
            "state": member.state,
            "own_name": member.own_name,
            "address": member.address,
            "pid": member.pid,
            "part": part,
            "figures": nodes.get(member.name),
            "reaches_store": None if self._nodes is None else self._nodes.reaching.get(member.name),
        }


def make_pause(seconds: float) -> float:
    """Return the pause after a look that took so long: a fifth of the time goes into looks, but on a busy machine."""
    return max(INTERVAL, min(4 * seconds, MOST_PAUSE))


def _describe_load(load: LiveLoad | None, error: str) -> dict[str, Any]:
    """Describe the load: none, running, paused or failed."""
    if load is None:
        return {"state": "none", "users": 0, "since": None, "error": say("")}
    state = "failed" if error else "paused" if load.is_paused else "running" if load.users else "none"
    return {"state": state, "users": load.users, "since": round(load.started, 2), "error": say(error)}


def _describe_findings(findings: Findings, load: LiveLoad, at: float) -> dict[str, Any]:
    """Describe what the checker found since the load began, and the last seconds (None: too few operations)."""
    total, recent = findings.total, load.recent.figures(at - LATE, SECONDS_RECENT)
    enough = recent.operations >= FEW_OPERATIONS
    until = load.recent.checked_until
    return {
        "until": until,
        "old": at - LATE - until > OLD,
        "operations": total.operations,
        "failed": total.failed,
        "logged_out": total.logged_out,
        "users": total.users,
        "users_logged_out": total.users_logged_out,
        "sessions_lost": findings.sessions_lost,
        "updates_lost": findings.updates_lost,
        "stale_reads": findings.stale_reads,
        "revived": findings.revived,
        "crossed": findings.crossed,
        "gap": round(findings.gap, 2),
        "recent": {"rate": recent.rate, "p50": recent.p50, "p99": recent.p99} if enough else None,
        "recent_seconds": SECONDS_RECENT,
    }
