"""1: sessions in each node's memory, and nodes that take turns."""

from deploy import NodeKind, StoreKind
from loadtest.checker.phases import DURING
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.data import share_of_requests
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.load_profile import Mix

EXPERIMENT = Experiment(
    number=1,
    name="memory-round-robin",
    title="memory, round robin",
    hypothesis="Without any fault, (N-1)/N of the requests find their user logged out.",
    reference="(N-1)/N in theory",
    before=2,
    during=8,
    after=1,
    mix=Mix.EVERYDAY,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.MEMORY),
            claims=(share_of_requests(2 / 3, "about two thirds").within(DURING), NO_FAILED_REQUEST),
        ),
    ),
    nodes=frozenset(NodeKind),
)
