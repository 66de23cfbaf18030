"""Random faults: a seed gives a schedule of faults, drawn from what a cluster can survive.

The schedule is a function of seed, duration and store, so a run can be repeated. What the requests of the load meet
can't: it depends on the moment, so a fault found once may need several runs with its seed.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.text import Text

from deploy import ClusterSpec, StoreKind, StoreSettings
from loadtest.checker import Findings
from loadtest.claims.availability import NO_SERVER_ERROR
from loadtest.claims.claim import Verdict
from loadtest.claims.data import nothing_lost
from loadtest.claims.endurance import as_at_the_beginning
from loadtest.claims.latency import answered_within
from loadtest.experiment import AFTER, BEFORE, Experiment, Phase, Place, Variant, cluster, make_accounts
from loadtest.faults import (
    BLACKHOLE,
    KILL_PRIMARY,
    KILL_PROXY_WORKER,
    STORE_DOWN,
    Fault,
    fault_sequence,
    kill,
    kill_workers,
    latency,
    pause,
    pause_primary,
    reload,
    rolling_restart,
    scale,
)
from loadtest.report.tables import make_process_table, show_evidence, tell_latencies
from loadtest.results import Result
from loadtest.runner import FAULTS, UNDONE
from nodes.sessions import Durability

NODES, WORKERS = 3, 2
SERVERS = {StoreKind.REDIS_HA: 3, StoreKind.REDIS_CLUSTER: 6}
STORES = (StoreKind.REDIS, StoreKind.REDIS_HA, StoreKind.REDIS_CLUSTER, StoreKind.SQL, StoreKind.FILE)
"""The stores that promise to lose nothing under these faults. Memory is not shared."""
SECONDS_TO_ANSWER = 20.0
"""A write that a silent node has accepted is answered with a 504 after the proxy's read timeout (15 s)."""
LONG = 600.0
"""Seconds from which on a run is a long one: it begins and ends with a quiet phase, which are compared, and its phases
are named after the kind of fault."""
_STEADY, _SHORTEST, _LONGEST, _QUIET = 2.0, 0.5, 5.0, (1.0, 3.0)
_FIRST, _LAST = 120.0, 60.0
"""Of a long run the quiet phases: in the first one the checker fills, which remembers a little more than a minute."""
_IDLE_TIMEOUT = 300
"""Seconds. Clients leave sessions behind, and the store keeps them for as long: with the default of half an hour it
would still grow at the end of a run."""
_KEPT_HISTORY = 32 * 1024 * 1024
"""Bytes of each part of a history that are kept: some 90,000 operations."""
_UNDO = 1.5
"""Seconds that an undo takes, about."""
_DRAWS = 20
"""Number of faults of which a run that is too short for its first one takes the shortest."""
_SHARED = 8
_MOST_SHARED = 3 * _SHARED
"""Users of one account, and of the three accounts that a cluster has."""
_SHOWN = 30
"""Faults before a loss that are shown, the last ones."""
_OVERLAP = 0.3
"""Part of the faults during which a second one begins."""

Draw = Callable[[random.Random], Fault]


@dataclass(frozen=True)
class Hazards:
    """Faults of the nodes and the proxy, and faults of the store. One of each at a time leaves a quorum of everything:
    two nodes of three, all but one server of the store."""

    nodes: Mapping[str, Draw]
    store: Mapping[str, Draw]

    def draw(self, random_: random.Random) -> tuple[str, Fault]:
        """Return a fault with its kind; now and then one of each group, the second soon after the first.

        The store's is the second, and is undone first: nodes that start meanwhile wait for their store.
        """
        groups = [group for group in (self.nodes, self.store) if group]
        if len(groups) < 2 or random_.random() >= _OVERLAP:
            groups = [random_.choice(groups)]
        between, kinds, faults = round(random_.uniform(0.1, 1), 2), [], []
        for group in groups:
            kind, draw = random_.choice(list(group.items()))
            kinds.append(kind)
            faults.append(draw(random_))
        return ", ".join(kinds), fault_sequence(*faults, pause=between)


def list_hazards(store: StoreKind) -> Hazards:
    """Return the faults that a cluster with this store must survive."""
    nodes: dict[str, Draw] = {
        "kill a node": lambda random_: kill(f"node-{random_.randint(1, NODES)}"),
        "pause a node": lambda random_: pause(f"node-{random_.randint(1, NODES)}"),
        "kill workers": lambda _: kill_workers(1, 0.5),
        "kill a worker of the proxy": lambda _: KILL_PROXY_WORKER,
        "reload the proxy": lambda _: reload(3),
        "restart all nodes": lambda _: rolling_restart(NODES),
        "scale": lambda random_: scale(random_.choice((2, 4))),
    }
    faults: dict[str, Draw] = {}
    if store is StoreKind.REDIS:
        faults = {
            "silence the network to the store": lambda _: BLACKHOLE,
            "cut the network to the store": lambda _: STORE_DOWN,
            "slow the store down": lambda random_: latency(round(random_.uniform(0.02, 0.3), 2)),
            "pause the store": lambda _: pause("store"),
        }
    elif store in SERVERS:
        faults = {
            "kill the primary": lambda _: KILL_PRIMARY,
            "pause the primary": lambda random_: pause_primary(round(random_.uniform(0.5, 3), 1)),
            "kill a server of the store": lambda random_: kill(f"store-{random_.randint(1, SERVERS[store])}"),
            "pause a server of the store": lambda random_: pause(f"store-{random_.randint(1, SERVERS[store])}"),
        }
    if store is StoreKind.REDIS_HA:
        faults |= {
            "kill a Sentinel": lambda random_: kill(f"sentinel-{random_.randint(1, 3)}"),
            "pause a Sentinel": lambda random_: pause(f"sentinel-{random_.randint(1, 3)}"),
        }
    return Hazards(nodes, faults)


def make_schedule(store: StoreKind, seed: int, seconds: float) -> tuple[Phase, ...]:
    """Return phases of at most about `seconds` in all: a fault, its undo, a quiet time, and so on.

    Where not even one fault fits, it is the shortest one of some.
    """
    random_, hazards = random.Random(f"{store} {seed}"), list_hazards(store)  # noqa: S311 - no secret
    is_long = seconds >= LONG
    first, last = (_FIRST, _LAST) if is_long else (_STEADY, _STEADY)
    phases = [Phase(name=BEFORE, seconds=first, words="steady", measured=True)]
    left = seconds - first - last

    def draw() -> tuple[Phase, Phase]:
        return _draw_phases(hazards, random_, 0 if is_long else len(phases) // 2 + 1)

    drawn = draw()
    if _estimate(drawn) > left:
        drawn = min((draw() for _ in range(_DRAWS)), key=_estimate)
    while len(phases) == 1 or _estimate(drawn) <= left:
        phases += drawn
        left -= _estimate(drawn)
        drawn = draw()
    return (*phases, Phase(name=AFTER, seconds=last, words="steady again", measured=True))


def _draw_phases(hazards: Hazards, random_: random.Random, number: int) -> tuple[Phase, Phase]:
    """Draw a fault and the quiet time after it. Without a number they are named after the kind of fault."""
    kind, fault = hazards.draw(random_)
    length, quiet = round(random_.uniform(_SHORTEST, _LONGEST), 1), round(random_.uniform(*_QUIET), 1)
    return (
        Phase(
            name=f"{number}: {fault.what}" if number else kind,
            seconds=length,
            words=fault.what,
            fault=fault,
            undo=True,
        ),
        Phase(name=f"{number}: quiet" if number else "quiet", seconds=quiet, words="quiet"),
    )


def _estimate(phases: Sequence[Phase]) -> float:
    return sum(phase.fault.seconds + phase.seconds + _UNDO * phase.undo for phase in phases)


def make_spec(store: StoreKind, users: int) -> ClusterSpec:
    """Return a cluster whose store promises to lose nothing that it acknowledged, with accounts for the `users`."""
    settings = StoreSettings(append_only=True)
    if store in SERVERS:
        settings = StoreSettings(append_only=True, durability=Durability.EVERY_WRITE)
    spec = cluster(
        NODES,
        store,
        # No line for each request: of a long run they would fill the disk.
        proxy={"access_log": "/dev/null"},
        node_settings={"LOG_LEVEL": "warning", "SESSION_IDLE_TIMEOUT": str(_IDLE_TIMEOUT)},
        workers=WORKERS,
        store_settings=settings,
        store_proxy=store is StoreKind.REDIS,
    )
    # All users log in at the same moment, and each counts as a guess until its password is found to be right.
    return replace(spec, users=make_accounts(-(-users // _SHARED))) if users > _MOST_SHARED else spec


def make_experiment(store: StoreKind, seed: int, seconds: float, users: int = 24, operations: int = 0) -> Experiment:
    """Return the schedule as an experiment, which ends with the first violation, or after these `operations`."""
    variant = Variant(
        name=str(store),
        title=f"{store}, seed {seed}",
        spec=make_spec(store, users),
        phases=make_schedule(store, seed, seconds),
        claims=(
            nothing_lost(min_requests=60),
            NO_SERVER_ERROR,
            answered_within(SECONDS_TO_ANSWER),
            *([as_at_the_beginning(BEFORE, AFTER, LONG)] if seconds >= LONG else []),
        ),
        places=frozenset({Place.LOCAL}),
    )
    return Experiment(
        number=0,
        name="random",
        title="random faults",
        hypothesis="Whatever fails, one node and one server of the store at a time: nothing acknowledged is lost, no"
        " error is unexpected, and the cluster is steady again after each fault.",
        variants=(variant,),
        ends_at_loss=True,
        operations=operations,
        kept_history=_KEPT_HISTORY,
    )


def show_random(result: Result, phases: Sequence[Phase]) -> RenderableType:
    """Return the figures of a run, and where something was lost the faults until then with the evidence."""
    found = result.findings
    if found is None:
        return Text(f"{result.reason}.", "red")
    count = count_faults(found)
    parts: list[RenderableType] = [
        Text(
            f"{count:,} faults, {found.total.operations:,} requests of {found.total.users} "
            f"users, {found.total.failed:,} failed; lost: {found.sessions_lost} sessions, {found.updates_lost} updates;"
            f" {found.revived} logouts revived, {found.crossed} crossed.",
            "bold",
        )
    ]
    if result.processes:
        parts += [Text(""), make_process_table(result.processes).render(), Text(tell_latencies(found))]
    if result.verdict is not Verdict.HOLDS:
        parts += [Text(line, "dim") for line in describe(phases)[:count][-_SHOWN:]]
        parts.append(Text(f"{result.reason}.", "red"))
        parts += show_evidence(result)
    return Group(*parts)


def count_faults(found: Findings) -> int:
    """Return how many faults were applied and undone."""
    return next((int(note.figures[FAULTS]) for note in found.notes if note.text == UNDONE), 0)


def describe(phases: Sequence[Phase]) -> list[str]:
    """Return the schedule, a line for each fault: when it begins about, what it is, and for how long."""
    lines, at = [], 0.0
    for phase in phases:
        if phase.fault.seconds:
            lines.append(f"{at:6.1f} s  {phase.fault.what}, for {phase.seconds:g} s")
        at += phase.fault.seconds + phase.seconds
    return lines
