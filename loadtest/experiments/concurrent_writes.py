"""15: several requests write to one session concurrently, on every store."""

from deploy import NodeKind
from loadtest.claims import NO_FAILED_REQUEST, NO_UPDATE_LOST
from loadtest.experiment import EVERY_STORE, Experiment, Variant
from loadtest.faults import Nothing
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
    variants=tuple(
        Variant(
            name=store.name,
            title=store.name,
            spec=store.make_spec(),
            fault=Nothing(),
            claims=(NO_UPDATE_LOST, NO_FAILED_REQUEST),
            places=store.places,
        )
        for store in EVERY_STORE
    ),
    nodes=frozenset(NodeKind),
)
