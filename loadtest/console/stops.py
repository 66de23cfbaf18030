"""The stops of the guided tour: the six scenes of the demo and two failovers, with the commands that lead through them.

Clusters and theory are those of the scenes and experiments: what must be seen is said by their claims alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy import ClusterSpec
from loadtest.claims.claim import Claim
from loadtest.claims.data import NOTHING_LOST
from loadtest.console.board import Order
from loadtest.demo import SCENES
from loadtest.experiment import Phase, Variant
from loadtest.experiments import cluster_primary_killed, primary_killed

PRIMARY = "primary"
"""In an order of a stop: the store's server that is the primary then."""
MIN_SECONDS = 5.0
"""At least, for one figure to be watched."""
FAILOVER_SECONDS = 8.0


@dataclass(frozen=True)
class Measurement:
    """A part of a stop: a command (None: nothing changes), and the claims on what follows it.

    `name` is that of its phase in the history. It takes `seconds`, or longer until the claims have `min_requests`.
    """

    name: str
    order: Order | None
    claims: tuple[Claim, ...]
    seconds: float
    min_requests: int


@dataclass(frozen=True)
class Stop:
    """One cluster, and what is measured on it."""

    name: str
    spec: ClusterSpec
    measurements: tuple[Measurement, ...]


_ORDERS: Mapping[tuple[str, str], Order] = {
    ("sticky-kill", "node-2 killed"): Order("kill", on="node-2"),
    ("redis-kill", "node-2 killed"): Order("kill", on="node-2"),
    ("scale", "out to 5"): Order("nodes", to="5"),
    ("scale", "back to 3"): Order("nodes", to="3"),
}


def _measure(scene: str, phase: Phase) -> Measurement:
    order = _ORDERS.get((scene, phase.name))
    return Measurement(phase.name, order, phase.claims, max(phase.seconds, MIN_SECONDS), phase.min_requests)


def _fail_over(name: str, variant: Variant) -> Stop:
    (lost,) = (claim for claim in variant.claims if claim is NOTHING_LOST)
    steady = Measurement("steady", None, (lost,), MIN_SECONDS, lost.min_requests)
    killed = Measurement("primary killed", Order("kill", on=PRIMARY), (lost,), FAILOVER_SECONDS, lost.min_requests)
    return Stop(name, variant.spec, (steady, killed))


STOPS: tuple[Stop, ...] = (
    *(
        Stop(scene.name, variant.spec, tuple(_measure(scene.name, phase) for phase in variant.phases))
        for scene in SCENES
        for variant in scene.variants
    ),
    _fail_over(primary_killed.EXPERIMENT.name, primary_killed.EXPERIMENT.variants[0]),
    _fail_over(cluster_primary_killed.EXPERIMENT.name, cluster_primary_killed.EXPERIMENT.variants[0]),
)
OWN = "own"
"""In the place of a stop's name: the cluster that the console was started with."""
BY_NAME: Mapping[str, Stop] = {stop.name: stop for stop in STOPS}
