"""34: Swarm replaces the nodes by those of a new release, or of one that does not start."""

from loadtest.claims.availability import NO_FAILED_REQUEST, served_by
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import ON_SWARM, Experiment, Variant, swarm_cluster
from loadtest.faults import ROLL_OUT, ROLL_OUT_BROKEN

EXPERIMENT = Experiment(
    number=34,
    name="rolling-update",
    title="a release is rolled out",
    hypothesis="A new node serves before an old one leaves, and where the new one does not start Swarm goes back: no"
    " session is lost, and no request fails.",
    reference="0 lost, 0 failed",
    during=5.0,
    variants=tuple(
        Variant(
            name=name,
            title=title,
            hypothesis=hypothesis,
            reference=reference,
            spec=swarm_cluster(3),
            fault=fault,
            claims=(NOTHING_LOST, NO_FAILED_REQUEST, served_by(3)),
            places=ON_SWARM,
        )
        for name, title, hypothesis, reference, fault in (
            (
                "works",
                "that works",
                "A new node serves before an old one leaves: no session is lost, and no request fails.",
                "33 s for 3 nodes, 0 failed",
                ROLL_OUT,
            ),
            (
                "broken",
                "that does not start",
                "Swarm goes back to the release before: no session is lost, and no request fails.",
                "rolled back in 6 s, 0 failed",
                ROLL_OUT_BROKEN,
            ),
        )
    ),
)
