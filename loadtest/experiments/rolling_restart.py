"""4: all nodes are restarted, one after the other."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import rolling_restart

EXPERIMENT = Experiment(
    number=4,
    name="rolling-restart",
    title="rolling restart of all nodes",
    hypothesis="All nodes are drained, stopped, started and put back in rotation, one by one, and no request fails.",
    reference="0 failed",
    during=1,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            fault=rolling_restart(3),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST),
        ),
    ),
)
