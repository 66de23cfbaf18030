"""16: a logout while other requests of the same session are on their way, on every store."""

from deploy import NodeKind, StoreKind
from loadtest.failover.claims import NO_FAILED_GET, LogoutsStay
from loadtest.failover.experiment import Experiment, Variant, cluster
from loadtest.failover.faults import Nothing, Slow
from loadtest.protocol import Mix

SLOW = 0.06
"""Seconds that every answer of the store takes longer, so that a write, which asks it twice, is on its way for long."""

EXPERIMENT = Experiment(
    number=16,
    name="late-writes",
    title="logout during slow requests",
    hypothesis="A session that was logged out stays so, whatever requests of it were on their way.",
    reference="revived by express-session and Flask-Session",
    mix=Mix.LOGOUT_RACE,
    users=4,
    before=1,
    during=6,
    after=1,
    variants=tuple(
        Variant(
            name=str(store),
            title=str(store),
            spec=cluster(1 if store is StoreKind.MEMORY else 3, store, store_link=store.needs_redis),
            fault=Slow(SLOW) if store.needs_redis else Nothing(),
            claims=(LogoutsStay(), NO_FAILED_GET),
        )
        for store in (StoreKind.MEMORY, StoreKind.FILE, StoreKind.SQL, StoreKind.REDIS, StoreKind.EXPRESS)
    ),
    nodes=frozenset(NodeKind),
)
