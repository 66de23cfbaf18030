"""10: an operator promotes a replica."""

from deploy import StoreKind, StoreSettings
from loadtest.claims.availability import NO_FAILED_GET, NO_FAILED_REQUEST, gap_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import FAILOVER
from nodes.sessions import Outage

EXPERIMENT = Experiment(
    number=10,
    name="planned-failover",
    title="planned failover",
    hypothesis="A planned failover loses nothing, and no read fails; where nodes wait for it, no write fails either.",
    reference="gap 0.02 s",
    during=4,
    variants=tuple(
        Variant(
            name=outage.value.replace("_", "-"),
            title=title,
            hypothesis=hypothesis,
            spec=cluster(3, StoreKind.REDIS_HA, store_settings=StoreSettings(outage=outage)),
            fault=FAILOVER,
            claims=(NOTHING_LOST, claim, gap_within(0.5)),
        )
        # The primary takes no writes until the replica has all of them, which it says once a second: longer than a
        # node that fails fast gives it.
        for outage, title, hypothesis, claim in (
            (
                Outage.FAIL_FAST,
                "failing fast",
                "A planned failover loses nothing, and no read fails; writes may.",
                NO_FAILED_GET,
            ),
            (
                Outage.WAIT,
                "waiting",
                "A planned failover loses nothing, and no request fails: writes wait for it.",
                NO_FAILED_REQUEST,
            ),
        )
    ),
)
