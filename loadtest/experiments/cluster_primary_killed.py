"""19: one of the three primaries of a Redis Cluster dies, and its replica takes over."""

from deploy import StoreKind, StoreSettings
from loadtest.claims.availability import failures_end_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import KILL_PRIMARY

NODE_TIMEOUT = 1.0

EXPERIMENT = Experiment(
    number=19,
    name="cluster-primary-killed",
    title="kill a primary of the Redis Cluster",
    hypothesis="A third of the sessions is out of reach until the replica is the primary, and none is lost.",
    reference="NODE_TIMEOUT + 1 to 2 s",
    during=6,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS_CLUSTER, store_settings=StoreSettings(down_after=NODE_TIMEOUT)),
            fault=KILL_PRIMARY,
            claims=(NOTHING_LOST, failures_end_within(NODE_TIMEOUT + 2.0)),
        ),
    ),
)
