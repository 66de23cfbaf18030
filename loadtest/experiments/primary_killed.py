"""9: the primary dies, and the Sentinels promote a replica."""

from deploy import NodeKind, StoreKind, StoreSettings
from loadtest.claims.availability import NO_FAILED_REQUEST, gap_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import KILL_PRIMARY
from nodes.sessions import Durability, Outage

DOWN_AFTER = 1.0

EXPERIMENT = Experiment(
    number=9,
    name="primary-killed",
    title="kill the primary (Sentinel)",
    hypothesis="A short gap, and no acknowledged write is lost; where nodes wait for the failover, no request fails.",
    reference="gap: down-after (silence until the Sentinels act, 1 s) + 1.25 s; MemoryDB: a few seconds",
    during=6,
    variants=tuple(
        Variant(
            name=outage.value.replace("_", "-"),
            title=title,
            hypothesis=hypothesis,
            spec=cluster(
                3,
                StoreKind.REDIS_HA,
                store_settings=StoreSettings(down_after=DOWN_AFTER, outage=outage, durability=Durability.EVERY_WRITE),
            ),
            fault=KILL_PRIMARY,
            claims=(NOTHING_LOST, *claims),
        )
        for outage, title, hypothesis, claims in (
            (
                Outage.FAIL_FAST,
                "failing fast",
                "A short gap, in which requests fail, and no acknowledged write is lost.",
                (gap_within(DOWN_AFTER + 1.5),),
            ),
            (
                Outage.WAIT,
                "waiting",
                "Requests wait for the failover: none fails, and no acknowledged write is lost.",
                (NO_FAILED_REQUEST,),
            ),
        )
    ),
    nodes=frozenset(NodeKind),
)
