"""15: several requests write to one session at the same moment, on every store."""

from deploy import NodeKind, StoreKind
from loadtest.failover.claims import NO_FAILED_REQUEST, NO_UPDATE_LOST
from loadtest.failover.experiment import Experiment, Variant, cluster
from loadtest.failover.faults import Nothing
from loadtest.protocol import Mix

EXPERIMENT = Experiment(
    number=15,
    name="concurrent-writes",
    title="concurrent writes",
    hypothesis="Of writes to one session at the same moment none is lost, whichever keys they change.",
    reference="express-session and Flask-Session lose them",
    mix=Mix.SHARED_WRITERS,
    users=4,
    before=1,
    during=5,
    after=1,
    variants=tuple(
        Variant(
            name=str(store),
            title=str(store),
            # Memory is shared within one process alone.
            spec=cluster(1 if store is StoreKind.MEMORY else 3, store),
            fault=Nothing(),
            claims=(NO_UPDATE_LOST, NO_FAILED_REQUEST),
        )
        for store in (StoreKind.MEMORY, StoreKind.FILE, StoreKind.SQL, StoreKind.REDIS, StoreKind.EXPRESS)
    ),
    nodes=frozenset(NodeKind),
)
