"""11: the primary goes on without its replicas, and then it dies."""

from deploy import StoreKind, StoreSettings
from loadtest.claims.data import NOTHING_LOST, SOMETHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import DISCONNECT_REPLICAS, KILL_PRIMARY, fault_sequence

FAULT = fault_sequence(DISCONNECT_REPLICAS, KILL_PRIMARY, pause=4.0)

EXPERIMENT = Experiment(
    number=11,
    name="replicas-cut-off",
    title="replicas cut off, primary killed",
    hypothesis="With min-replicas-to-write nothing acknowledged is lost; without it all writes since the cut are.",
    reference="67 % of the writes without a guard, 0 with one; Jepsen 56 %",
    during=5,
    after=4,
    variants=(
        Variant(
            name="guarded",
            title="guarded",
            hypothesis="With min-replicas-to-write nothing acknowledged is lost: a primary without replicas refuses "
            "writes.",
            spec=cluster(3, StoreKind.REDIS_HA, store_settings=StoreSettings(min_replicas_to_write=1)),
            fault=FAULT,
            claims=(NOTHING_LOST,),
        ),
        Variant(
            name="unguarded",
            title="unguarded",
            hypothesis="Without min-replicas-to-write, the writes that a primary acknowledges without its replicas are "
            "lost with it.",
            spec=cluster(3, StoreKind.REDIS_HA, store_settings=StoreSettings(min_replicas_to_write=0)),
            fault=FAULT,
            claims=(SOMETHING_LOST,),
        ),
    ),
)
