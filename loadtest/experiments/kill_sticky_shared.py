"""31: a node dies that browsers are pinned to, and the store is shared."""

from deploy import StoreKind
from loadtest.claims.availability import FEW_FAILED_WRITES, NO_FAILED_GET, PINNED_MOVE
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import kill
from proxy import Balance

EXPERIMENT = Experiment(
    number=31,
    name="kill-sticky-shared",
    title="kill a node, sticky and shared store",
    hypothesis="Users that are pinned to a dead node go on at another one, as with any other policy.",
    reference="as in 2; in 3, with sessions in memory, 1/N are logged out",
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS, Balance.STICKY),
            fault=kill("node-2"),
            claims=(NOTHING_LOST, NO_FAILED_GET, FEW_FAILED_WRITES, PINNED_MOVE),
        ),
    ),
)
