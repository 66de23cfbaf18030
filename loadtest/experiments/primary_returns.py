"""23: the primary is silent for a while and returns, before, during or after the promotion of another server."""

from deploy import StoreKind, StoreSettings
from loadtest.claims import NO_FAILED_REQUEST, NOTHING_LOST, gap_within
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import pause_primary
from nodes.sessions import Durability, Outage

PAUSES = (0.5, 1.2, 1.7, 3.0)
"""In seconds. The Sentinels take it for down after 1 s, and its replicas follow another one about 1 s later."""
# Besides down-after and the election, the new primary waits for a replica that follows it: up to 1 s.
GAP = 4.0

EXPERIMENT = Experiment(
    number=23,
    name="primary-returns",
    title="the primary pauses and returns",
    hypothesis="No acknowledged write is lost and no logout revived, whenever a silent primary returns.",
    reference="with WAIT alone, 250 to 367 of 2,000 acknowledged writes lost",
    during=5,
    variants=tuple(
        Variant(
            name=f"{round(1000 * pause)}ms-{outage.value.replace('_', '-')}",
            title=f"{pause:g} s, {title}",
            spec=cluster(
                3, StoreKind.REDIS_HA, store_settings=StoreSettings(outage=outage, durability=Durability.EVERY_WRITE)
            ),
            fault=pause_primary(pause),
            claims=(NOTHING_LOST, claim),
        )
        for pause in PAUSES
        for outage, title, claim in (
            (Outage.FAIL_FAST, "failing fast", gap_within(GAP)),
            (Outage.WAIT, "waiting", NO_FAILED_REQUEST),
        )
    ),
)
