"""13: the first Sentinel does not answer when the nodes look for the new primary."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_GET, gap_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import FAILOVER, fault_sequence, kill, pause

EXPERIMENT = Experiment(
    number=13,
    name="first-sentinel-dead",
    title="a Sentinel dead or silent",
    hypothesis="Finding the primary costs less than 0.3 s more where the first Sentinel is dead or silent.",
    reference="4.6 s by default, 0.00 s with a budget",
    during=4,
    variants=tuple(
        Variant(
            name=name,
            title=name,
            spec=cluster(3, StoreKind.REDIS_HA),
            fault=fault_sequence(fault, FAILOVER, pause=0.5),
            claims=(NOTHING_LOST, NO_FAILED_GET, gap_within(0.3)),
        )
        for name, fault in (("dead", kill("sentinel-1")), ("silent", pause("sentinel-1")))
    ),
)
