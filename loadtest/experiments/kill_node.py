"""2: a node dies, and the store is shared."""

from deploy import NodeKind, StoreKind
from loadtest.claims.availability import FEW_FAILED_WRITES, NO_FAILED_GET
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import kill

EXPERIMENT = Experiment(
    number=2,
    name="kill-node",
    title="kill a node, shared store",
    hypothesis="Any node can die: no session is lost, reads are retried on another node, writes in flight fail once.",
    reference="0 lost, GETs retried, a POST in flight is one 502",
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            fault=kill("node-2"),
            claims=(NOTHING_LOST, NO_FAILED_GET, FEW_FAILED_WRITES),
        ),
    ),
    nodes=frozenset(NodeKind),
)
