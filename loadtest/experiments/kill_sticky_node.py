"""3: a node dies with the sessions in its memory, those of the users that are pinned to it."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_GET
from loadtest.claims.data import share_of_users
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import kill
from loadtest.load_profile import Mix
from proxy import Balance

EXPERIMENT = Experiment(
    number=3,
    name="kill-sticky-node",
    title="kill a node, sticky and memory",
    hypothesis="A dead node logs out its share of the users, 1/N; they are pinned to another node within one request.",
    reference="1/N in theory",
    mix=Mix.EVERYDAY,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.MEMORY, Balance.STICKY),
            fault=kill("node-2"),
            claims=(share_of_users(1 / 3, "about a third"), NO_FAILED_GET),
        ),
    ),
)
