"""32: a machine loses its network, or its power."""

from loadtest.claims.availability import failed_from_the_fault_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import ON_SWARM, Experiment, Variant, swarm_cluster
from loadtest.faults import cut_off_machine, kill_machine

SECONDS = 10.0
"""Within so long nothing uses the machine any longer: what was sent to it meanwhile was in flight on it."""

EXPERIMENT = Experiment(
    number=32,
    name="machine-lost",
    title="a machine is lost",
    hypothesis="Two of three machines go on: no session is lost, the requests in flight on the lost one fail once, and"
    " Swarm starts its nodes elsewhere.",
    reference="1 request timed out, 0 lost, seen after 14 s",
    during=40.0,
    variants=tuple(
        Variant(
            name=name,
            title=title,
            spec=swarm_cluster(3),
            fault=fault,
            claims=(NOTHING_LOST, failed_from_the_fault_within(SECONDS)),
            places=ON_SWARM,
        )
        for name, title, fault in (
            ("network", "without its network", cut_off_machine("machine-3")),
            ("power", "without its power", kill_machine("machine-3")),
        )
    ),
)
