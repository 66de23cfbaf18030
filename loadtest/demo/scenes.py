"""The scenes of the demo, as data: a cluster, what is done to it, what must hold, and what that shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy import Cluster, ClusterSpec, StoreKind
from loadtest.arrival import ARRIVAL
from loadtest.demo.claims import (
    Claim,
    NoFailedRequest,
    NothingLost,
    OnlyWritesInFlightFailed,
    Ruling,
    ServedBy,
    ShareOfRequests,
    ShareOfUsers,
    worst,
)
from loadtest.figures import Figures
from proxy import Balance


@dataclass(frozen=True)
class Phase:
    """A stretch of a scene with figures of its own: first the action, under load, then some time.

    `name` and `nodes` are what the table says. The claims are about this phase alone.
    """

    name: str
    nodes: int
    claims: tuple[Claim, ...]
    action: Callable[[Cluster], None] | None = None

    @property
    def min_requests(self) -> int:
        """How many requests made as a logged-in user all of its claims need."""
        return max(claim.min_requests for claim in self.claims)


@dataclass(frozen=True)
class Scene:
    """One cluster from start to stop. `lesson` is the sentence under the table.

    Before the first phase, users arrive and log in for the first time, all within a second or two. That rush would
    be most of what p99 says, so it is a phase of its own, ARRIVAL, which is judged and recorded but not in the table.
    """

    name: str
    title: str
    spec: ClusterSpec
    phases: tuple[Phase, ...]
    lesson: str
    arrival: tuple[Claim, ...] = (NothingLost(min_requests=0, min_users=0), NoFailedRequest())


def _kill(name: str) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.kill(name)


def _scale(nodes: int) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.scale(nodes)


def _spec(nodes: int, store: StoreKind, balance: Balance = Balance.ROUND_ROBIN, **more: Any) -> ClusterSpec:
    # All users come from one address, so the proxy's limit on logins per address would be theirs together.
    proxy = {"login_rate": None, **more.pop("proxy", {})}
    return ClusterSpec(nodes=nodes, store=store, balance=balance, proxy=proxy, **more)


STEADY = (NothingLost(), NoFailedRequest())
MISSING = (NoFailedRequest(),)  # for the arrival, where it is known that sessions will be missed
# nginx keeps connections to the nodes open, and each belongs to one worker for good. With few of them it is chance
# how often a request meets the other worker; with a connection for each request it is theory.
NO_KEPT_CONNECTIONS = {"keepalive": 1, "keepalive_timeout": 0.001}

SCENES = (
    Scene(
        name="one-worker",
        title="1 node, 1 worker",
        spec=_spec(1, StoreKind.MEMORY),
        phases=(Phase("steady", 1, STEADY),),
        lesson="Sessions in a process's memory work, as long as there is one process.",
    ),
    Scene(
        name="two-workers",
        title="1 node, 2 workers",
        spec=_spec(1, StoreKind.MEMORY, workers=2, proxy=NO_KEPT_CONNECTIONS),
        phases=(Phase("steady", 1, (ShareOfRequests(1 / 2, "up to half", least=0.08), NoFailedRequest())),),
        arrival=MISSING,
        lesson="Scaling up breaks it: each of two workers has sessions of its own, so up to half the requests miss.",
    ),
    Scene(
        name="three-nodes",
        title="3 nodes",
        spec=_spec(3, StoreKind.MEMORY),
        phases=(Phase("steady", 3, (ShareOfRequests(2 / 3, "about two thirds"), NoFailedRequest())),),
        arrival=MISSING,
        lesson="Scaling out breaks it more: with N nodes that take turns, (N-1)/N of the requests miss.",
    ),
    Scene(
        name="sticky-kill",
        title="3 nodes, pinned",
        spec=_spec(3, StoreKind.MEMORY, Balance.STICKY),
        phases=(
            Phase("steady", 3, STEADY),
            Phase(
                "node-2 killed",
                2,
                (ShareOfUsers(1 / 3, "about a third"), OnlyWritesInFlightFailed()),
                action=_kill("node-2"),
            ),
        ),
        lesson="Pinning each browser to a node hides it, until a node dies and takes its share of the users along.",
    ),
    Scene(
        name="redis-kill",
        title="3 nodes, shared",
        spec=_spec(3, StoreKind.REDIS),
        phases=(
            Phase("steady", 3, (*STEADY, ServedBy(3))),
            Phase("node-2 killed", 2, (NothingLost(), OnlyWritesInFlightFailed()), action=_kill("node-2")),
        ),
        lesson="With a shared store any node can serve anybody, so any node can die and nobody is logged out.",
    ),
    Scene(
        name="scale",
        title="scaled out and in",
        spec=_spec(3, StoreKind.REDIS),
        phases=(
            Phase("steady", 3, (*STEADY, ServedBy(3))),
            Phase("out to 5", 5, (*STEADY, ServedBy(5)), action=_scale(5)),
            Phase("back to 3", 3, STEADY, action=_scale(3)),
        ),
        lesson="And nodes come and go under load without anyone noticing: drained first, they drop no request.",
    ),
)

BY_NAME: Mapping[str, Scene] = {scene.name: scene for scene in SCENES}


@dataclass(frozen=True)
class Part:
    """What one phase came to."""

    phase: Phase
    figures: Figures
    ruling: Ruling


@dataclass(frozen=True)
class Outcome:
    """What a scene came to; `parts` are the phases of the table, without the arrival."""

    scene: Scene
    arrival: Part
    parts: tuple[Part, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of what the cluster was made of."""

    @property
    def ruling(self) -> Ruling:
        """The worst of all phases, with their names."""
        return worst(
            Ruling(part.ruling.verdict, part.ruling.reason and f"{part.phase.name}: {part.ruling.reason}")
            for part in (self.arrival, *self.parts)
        )


def outcome(scene: Scene, arrival: Figures, *phases: Figures) -> Outcome:
    """Hold the figures of all phases against the scene's claims."""
    first = _part(Phase(ARRIVAL, scene.spec.nodes, scene.arrival), arrival)
    return Outcome(scene, first, tuple(_part(*pair) for pair in zip(scene.phases, phases, strict=True)))


def _part(phase: Phase, figures: Figures) -> Part:
    return Part(phase, figures, worst(claim.check(figures) for claim in phase.claims))
