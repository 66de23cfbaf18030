"""24: the network cuts the primary off for a while: from everything, or from the Sentinels alone."""

from deploy import StoreKind, StoreSettings
from deploy.redis import acl
from loadtest.claims import NO_FAILED_REQUEST, NOTHING_LOST
from loadtest.experiment import Experiment, Place, Variant, cluster
from loadtest.experiments.primary_returns import PAUSES
from loadtest.faults import cut_off_primary
from nodes.sessions import Durability, Outage

EXPERIMENT = Experiment(
    number=24,
    name="primary-cut-off",
    title="the primary is cut off and returns",
    hypothesis="No acknowledged write is lost and no request fails, whatever the network cuts the primary off from.",
    reference="see 23",
    during=5,
    variants=tuple(
        Variant(
            name=f"{name}-{round(1000 * seconds)}ms",
            title=f"{title}, {seconds:g} s",
            spec=cluster(
                3,
                StoreKind.REDIS_HA,
                store_proxy=True,
                store_settings=StoreSettings(outage=Outage.WAIT, durability=Durability.EVERY_WRITE),
            ),
            fault=cut_off_primary(seconds, user),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST),
            places=frozenset({Place.LOCAL}),
        )
        for name, title, user in (
            ("all", "from everything", ""),
            ("sentinels", "from the Sentinels", acl.SENTINEL),
        )
        for seconds in PAUSES
    ),
)
