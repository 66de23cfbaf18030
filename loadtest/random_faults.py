"""Random faults: a seed gives a schedule of faults, drawn from what a cluster can survive.

The schedule is a function of seed, duration and store, so a run can be repeated. What the requests of the load meet
can't: it depends on the moment, so a fault found once may need several runs with its seed.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from deploy import ClusterSpec, StoreKind, StoreSettings
from loadtest.claims.availability import NO_SERVER_ERROR
from loadtest.claims.claim import Verdict
from loadtest.claims.data import nothing_lost
from loadtest.claims.latency import answered_within
from loadtest.experiment import AFTER, BEFORE, Experiment, Phase, Place, Variant, cluster
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
from loadtest.results import Result
from nodes.sessions import Durability

NODES, WORKERS = 3, 2
SERVERS = {StoreKind.REDIS_HA: 3, StoreKind.REDIS_CLUSTER: 6}
STORES = (StoreKind.REDIS, StoreKind.REDIS_HA, StoreKind.REDIS_CLUSTER, StoreKind.SQL, StoreKind.FILE)
"""The stores that promise to lose nothing under these faults. Memory is not shared."""
SECONDS_TO_ANSWER = 20.0
"""A write that a silent node has accepted is answered with a 504 after the proxy's read timeout (15 s)."""
_STEADY, _SHORTEST, _LONGEST, _QUIET = 2.0, 0.5, 5.0, (1.0, 3.0)
_UNDO = 1.5
"""Seconds that an undo takes, about."""
_DRAWS = 20
"""Number of faults of which a run that is too short for its first one takes the shortest."""
_OVERLAP = 0.3
"""Part of the faults during which a second one begins."""

Draw = Callable[[random.Random], Fault]


@dataclass(frozen=True)
class Hazards:
    """Faults of the nodes and the proxy, and faults of the store. One of each at a time leaves a quorum of everything:
    two nodes of three, all but one server of the store."""

    nodes: Sequence[Draw]
    store: Sequence[Draw]

    def draw(self, random_: random.Random) -> Fault:
        """Return a fault; now and then one of each kind, the second soon after the first.

        The store's is the second, and is undone first: nodes that start meanwhile wait for their store.
        """
        kinds = [kind for kind in (self.nodes, self.store) if kind]
        if len(kinds) < 2 or random_.random() >= _OVERLAP:
            kinds = [random_.choice(kinds)]
        return fault_sequence(
            *(random_.choice(kind)(random_) for kind in kinds), pause=round(random_.uniform(0.1, 1), 2)
        )


def list_hazards(store: StoreKind) -> Hazards:
    """Return the faults that a cluster with this store must survive."""
    nodes: list[Draw] = [
        lambda random_: kill(f"node-{random_.randint(1, NODES)}"),
        lambda random_: pause(f"node-{random_.randint(1, NODES)}"),
        lambda _: kill_workers(1, 0.5),
        lambda _: KILL_PROXY_WORKER,
        lambda _: reload(3),
        lambda _: rolling_restart(NODES),
        lambda random_: scale(random_.choice((2, 4))),
    ]
    faults: list[Draw] = []
    if store is StoreKind.REDIS:
        faults = [
            lambda _: BLACKHOLE,
            lambda _: STORE_DOWN,
            lambda random_: latency(round(random_.uniform(0.02, 0.3), 2)),
            lambda _: pause("store"),
        ]
    elif store in SERVERS:
        faults = [
            lambda _: KILL_PRIMARY,
            lambda random_: pause_primary(round(random_.uniform(0.5, 3), 1)),
            lambda random_: kill(f"store-{random_.randint(1, SERVERS[store])}"),
            lambda random_: pause(f"store-{random_.randint(1, SERVERS[store])}"),
        ]
    if store is StoreKind.REDIS_HA:
        faults += [
            lambda random_: kill(f"sentinel-{random_.randint(1, 3)}"),
            lambda random_: pause(f"sentinel-{random_.randint(1, 3)}"),
        ]
    return Hazards(nodes, faults)


def make_schedule(store: StoreKind, seed: int, seconds: float) -> tuple[Phase, ...]:
    """Return phases of at most about `seconds` in all: a fault, its undo, a quiet time, and so on.

    Where not even one fault fits, it is the shortest one of some.
    """
    random_, hazards = random.Random(f"{store} {seed}"), list_hazards(store)  # noqa: S311 - no secret
    phases = [Phase(name=BEFORE, seconds=_STEADY, words="steady")]
    left = seconds - 2 * _STEADY
    drawn = _draw_phases(hazards, random_, 1)
    if _estimate(drawn) > left:
        drawn = min((_draw_phases(hazards, random_, 1) for _ in range(_DRAWS)), key=_estimate)
    while len(phases) == 1 or _estimate(drawn) <= left:
        phases += drawn
        left -= _estimate(drawn)
        drawn = _draw_phases(hazards, random_, len(phases) // 2 + 1)
    return (*phases, Phase(name=AFTER, seconds=_STEADY, words="steady again"))


def _draw_phases(hazards: Hazards, random_: random.Random, number: int) -> tuple[Phase, Phase]:
    """Draw a fault and the quiet time after it."""
    fault = hazards.draw(random_)
    length, quiet = round(random_.uniform(_SHORTEST, _LONGEST), 1), round(random_.uniform(*_QUIET), 1)
    return (
        Phase(name=f"{number}: {fault.what}", seconds=length, words=fault.what, fault=fault, undo=True),
        Phase(name=f"{number}: quiet", seconds=quiet, words="quiet"),
    )


def _estimate(phases: Sequence[Phase]) -> float:
    return sum(phase.fault.seconds + phase.seconds + _UNDO * phase.undo for phase in phases)


def make_spec(store: StoreKind) -> ClusterSpec:
    """Return a cluster whose store promises to lose nothing that it acknowledged."""
    settings = StoreSettings(append_only=True)
    if store in SERVERS:
        settings = StoreSettings(append_only=True, durability=Durability.EVERY_WRITE)
    return cluster(NODES, store, workers=WORKERS, store_settings=settings, store_proxy=store is StoreKind.REDIS)


def make_experiment(store: StoreKind, seed: int, seconds: float) -> Experiment:
    """Return the schedule as an experiment, which ends with the first violation."""
    variant = Variant(
        name=str(store),
        title=f"{store}, seed {seed}",
        spec=make_spec(store),
        phases=make_schedule(store, seed, seconds),
        claims=(nothing_lost(min_requests=60), NO_SERVER_ERROR, answered_within(SECONDS_TO_ANSWER)),
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
    )


def show_random(result: Result, phases: Sequence[Phase]) -> RenderableType:
    """Return the figures of a run, and where something was lost the faults until then with the evidence."""
    found = result.findings
    if found is None:
        return Text(f"{result.reason}.", "red")
    done = [phase for phase in phases if phase.name in found.phases]
    parts: list[RenderableType] = [
        Text(
            f"{sum(phase.undo for phase in done)} faults, {found.total.operations:,} requests of {found.total.users} "
            f"users, {found.total.failed:,} failed; lost: {found.sessions_lost} sessions, {found.updates_lost} updates;"
            f" {found.revived} logouts revived, {found.crossed} crossed.",
            "bold",
        )
    ]
    if result.verdict is not Verdict.HOLDS:
        parts += [Text(line, "dim") for line in describe(done)]
        parts.append(Text(f"{result.reason}.", "red"))
        parts += [
            Text(f"first {kind}: {examples[0].who}, {examples[0].what}") for kind, examples in found.examples.items()
        ]
    return Group(*parts)


def describe(phases: Sequence[Phase]) -> list[str]:
    """Return the schedule, a line for each fault: when it begins about, what it is, and for how long."""
    lines, at = [], 0.0
    for phase in phases:
        if phase.fault.seconds:
            lines.append(f"{at:6.1f} s  {phase.fault.what}, for {phase.seconds:g} s")
        at += phase.fault.seconds + phase.seconds
    return lines
