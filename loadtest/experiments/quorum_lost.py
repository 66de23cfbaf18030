"""35: the managers of the swarm lose their quorum and get it back."""

from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import ON_SWARM, Experiment, Variant, swarm_cluster
from loadtest.faults import lose_quorum

EXPERIMENT = Experiment(
    number=35,
    name="quorum-lost",
    title="the managers lose their quorum",
    hypothesis="Without a quorum nobody can change the swarm, and what runs serves on: no session is lost, and no"
    " request fails. With it all is as before.",
    reference="0 lost, 0 failed",
    during=20.0,
    variants=(
        Variant(
            spec=swarm_cluster(3),
            fault=lose_quorum("machine-2", "machine-3"),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST),
            places=ON_SWARM,
        ),
    ),
)
