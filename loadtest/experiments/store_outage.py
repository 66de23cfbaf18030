"""14: no node reaches the store for a while."""

from deploy import NodeKind, StoreKind
from loadtest.claims.availability import WRITES_REFUSED, recovers_within
from loadtest.claims.data import NO_SESSION_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import STORE_DOWN

EXPERIMENT = Experiment(
    number=14,
    name="store-outage",
    title="the store down for everyone",
    hypothesis="An outage of the store logs no user out, and ends when the store is back.",
    reference="Django logs everyone out; nginx with http_503: 3.2 s more",
    during=4,
    after=4,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS, store_proxy=True),
            fault=STORE_DOWN,
            claims=(NO_SESSION_LOST, WRITES_REFUSED, recovers_within(0.5)),
        ),
    ),
    nodes=frozenset(NodeKind),
)
