"""33: a machine is drained before its maintenance."""

from loadtest.claims.availability import NO_FAILED_REQUEST, served_by
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import ON_SWARM, Experiment, Variant, swarm_cluster
from loadtest.faults import drain_machine

EXPERIMENT = Experiment(
    number=33,
    name="machine-drained",
    title="a machine is drained",
    hypothesis="Swarm starts the nodes of a drained machine elsewhere: no session is lost, and no request fails.",
    reference="0 lost, 0 failed",
    during=25.0,
    variants=(
        Variant(
            spec=swarm_cluster(3),
            fault=drain_machine("machine-3"),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST, served_by(3)),
            places=ON_SWARM,
        ),
    ),
)
