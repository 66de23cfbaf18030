"""18: nodes are added and removed under load."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_REQUEST, served_by
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import scale

EXPERIMENT = Experiment(
    number=18,
    name="scale",
    title="scale 3 -> 6 -> 3 under load",
    hypothesis="Nodes come and go under load, and no request fails.",
    reference="0 lost, 0 failed",
    during=5,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            fault=scale(6),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST, served_by(6)),
        ),
    ),
)
