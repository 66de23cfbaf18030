"""7: a node gets another address, and the proxy is not told."""

from deploy import Discovery, StoreKind
from loadtest.claims.availability import NO_FAILED_GET, served_by
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import slow_window
from loadtest.experiment import Experiment, Place, Variant, cluster
from loadtest.faults import move

FORGOTTEN_AFTER = 5.0
"""Seconds for which the proxy believes Docker's DNS (`resolver … valid=5s`)."""

EXPERIMENT = Experiment(
    number=7,
    name="node-moves",
    title="a node at a new address",
    hypothesis="The proxy finds a node that moved once it asks the DNS again; meanwhile other nodes answer.",
    reference="502 for about 3 s",
    during=10.0,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS, discovery=Discovery.DNS),
            fault=move("node-2"),
            claims=(slow_window(FORGOTTEN_AFTER + 2.0), NOTHING_LOST, NO_FAILED_GET, served_by(3)),
            places=frozenset({Place.COMPOSE}),
        ),
    ),
)
