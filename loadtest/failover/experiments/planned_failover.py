"""10: a replica takes over because an operator says so."""

from deploy import StoreKind
from loadtest.failover.claims import NO_FAILED_GET, NOTHING_LOST, gap_within
from loadtest.failover.experiment import Experiment, Variant, cluster
from loadtest.failover.faults import FailOver

EXPERIMENT = Experiment(
    number=10,
    name="planned-failover",
    title="planned failover",
    hypothesis="A planned failover loses nothing, and no read fails.",
    reference="gap 0.02 s",
    during=4,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS_HA),
            fault=FailOver(),
            claims=(NOTHING_LOST, NO_FAILED_GET, gap_within(0.5)),
        ),
    ),
)
