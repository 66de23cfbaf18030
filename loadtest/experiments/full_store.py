"""17: the store has no memory left, and evicts nothing."""

from deploy import StoreKind, StoreSettings
from loadtest.claims.availability import NO_FAILED_GET, WRITES_REFUSED
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import FILL_STORE

EXPERIMENT = Experiment(
    number=17,
    name="full-store",
    title="store full, noeviction",
    hypothesis="A full store refuses logins and writes; logged-in users stay logged in and can read.",
    reference="allkeys-lru evicts sessions silently",
    during=4,
    variants=(
        Variant(
            spec=cluster(
                3,
                StoreKind.REDIS,
                store_settings=StoreSettings(max_memory="8mb"),
                # Visitors take what is left.
                node_settings={"SESSION_ANONYMOUS_PERCENT": "100"},
            ),
            fault=FILL_STORE,
            claims=(NOTHING_LOST, NO_FAILED_GET, WRITES_REFUSED),
        ),
    ),
)
