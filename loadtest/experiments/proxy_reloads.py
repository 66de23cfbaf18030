"""6: the proxy reloads its configuration again and again."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import reload

EXPERIMENT = Experiment(
    number=6,
    name="proxy-reloads",
    title="20 reloads of the proxy",
    hypothesis="Reloading the proxy under load, twenty times over, fails no request.",
    reference="HAProxy: hitless",
    during=2,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            fault=reload(20),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST),
        ),
    ),
)
