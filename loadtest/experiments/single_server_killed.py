"""8: the only Redis, which syncs its append-only file every second, is killed and started again."""

from deploy import StoreKind, StoreSettings
from loadtest.claims.availability import recovers_within
from loadtest.claims.data import lost_at_most
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import kill

EXPERIMENT = Experiment(
    number=8,
    name="single-server-killed",
    title="kill the only server of the store",
    hypothesis="Killed and restarted, it has all but the last second of writes, and the nodes are back at once.",
    reference="1 s (appendfsync everysec)",
    during=4,
    after=4,
    variants=(
        Variant(
            title="Redis with AOF",
            spec=cluster(3, StoreKind.REDIS, store_settings=StoreSettings(append_only=True)),
            fault=kill("store"),
            claims=(lost_at_most(1.0), recovers_within(0.5)),
        ),
    ),
)
