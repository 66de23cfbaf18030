"""22: of the two workers of each node one is killed, node after node, under load."""

from deploy import StoreKind
from loadtest.checker.phases import DURING
from loadtest.claims.availability import NO_FAILED_GET, failed_writes_at_most, gap_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import AFTER, BEFORE, Experiment, Phase, Place, Variant, cluster
from loadtest.faults import kill_workers
from loadtest.load_profile import Arrivals

IN_FLIGHT = 24
ROUNDS, NODES, WORKERS = 2, 3, 2
BEGUN = ROUNDS * NODES * (IN_FLIGHT // NODES)
"""Bound of the writes that killed workers have begun: each has at most all requests of its node, and all are writes."""

EXPERIMENT = Experiment(
    number=22,
    name="workers-killed",
    title="workers killed one after another",
    hypothesis="A node with one live worker of two serves: no GET fails, and of the writes only those that a killed"
    " worker had begun.",
    reference="nginx's defaults: each node out for 10 s",
    variants=(
        Variant(
            spec=cluster(NODES, StoreKind.REDIS, workers=WORKERS),
            phases=(
                Phase(name=BEFORE, seconds=3.0, words="steady", arrivals=Arrivals(rate=10)),
                Phase(
                    name=DURING,
                    seconds=2.0,
                    words="watch",
                    fault=kill_workers(ROUNDS, 1.2),
                    arrivals=Arrivals(in_flight=IN_FLIGHT),
                    undo=True,
                    min_seconds=1.0,
                ),
                Phase(name=AFTER, seconds=3.0, words="steady again"),
            ),
            claims=(
                NOTHING_LOST,
                NO_FAILED_GET,
                failed_writes_at_most(BEGUN, "in flight in killed workers"),
                gap_within(0.5),
            ),
            places=frozenset({Place.LOCAL}),
        ),
    ),
)
