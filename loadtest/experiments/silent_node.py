"""5: a node that accepts connections and does not answer."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_GET
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import slow_window
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import pause

EXPERIMENT = Experiment(
    number=5,
    name="silent-node",
    title="a silent node (SIGSTOP)",
    hypothesis="A node that is alive and silent is taken out within 3 s, and no read fails meanwhile.",
    reference="HAProxy's active checks: about 6 s",
    during=9,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            fault=pause("node-2"),
            claims=(slow_window(3.0), NOTHING_LOST, NO_FAILED_GET),
        ),
    ),
)
