"""15: several requests write to one session concurrently, on every store."""

from deploy import NodeKind
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.data import NO_UPDATE_LOST
from loadtest.experiment import Experiment, make_variants
from loadtest.load_profile import Mix

EXPERIMENT = Experiment(
    number=15,
    name="concurrent-writes",
    title="concurrent writes",
    hypothesis="No write to a session is lost when others write to it at that moment, whichever keys they change.",
    reference="express-session and Flask-Session lose them",
    mix=Mix.SHARED_WRITERS,
    users=4,
    before=1,
    during=5,
    after=1,
    variants=make_variants((NO_UPDATE_LOST, NO_FAILED_REQUEST)),
    nodes=frozenset(NodeKind),
)
