"""23: the primary is silent for a while and returns, before, during or after the promotion of another server."""

from collections.abc import Callable, Iterator

from deploy import StoreKind, StoreSettings
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import ON_ONE_MACHINE, Experiment, Place, Variant, cluster
from loadtest.faults import Fault, pause_primary
from nodes.sessions import Durability, Outage

PAUSES = (0.5, 1.2, 1.7, 3.0)
"""In seconds. The Sentinels take it for down after 1 s, and its replicas follow another one about 1 s later."""
REPLACED = (1.2, 1.7)
"""Where it returns while a replica still follows it: then a read could show a write that was refused."""


def absences(
    name: str,
    title: str,
    make_fault: Callable[[float], Fault],
    store_proxy: bool = False,
    places: frozenset[Place] = ON_ONE_MACHINE,
) -> Iterator[Variant]:
    """Yield the variants of a primary that is absent for a while: nodes that wait for it, and nodes that fail fast."""
    kept = "No write that was acknowledged or read is lost"
    for outage, policy, durations, claims, hypothesis in (
        (Outage.WAIT, "", PAUSES, (NOTHING_LOST, NO_FAILED_REQUEST), f"{kept}, and no request fails: they wait."),
        (Outage.FAIL_FAST, "fail-fast-", REPLACED, (NOTHING_LOST,), f"{kept}; requests fail until it is over."),
    ):
        for seconds in durations:
            yield Variant(
                name=f"{policy}{name}{round(1000 * seconds)}ms",
                title=f"{title}{seconds:g} s" + (", failing fast" if policy else ""),
                hypothesis=hypothesis,
                spec=cluster(
                    3,
                    StoreKind.REDIS_HA,
                    store_proxy=store_proxy,
                    store_settings=StoreSettings(outage=outage, durability=Durability.EVERY_WRITE),
                ),
                fault=make_fault(seconds),
                claims=claims,
                places=places,
            )


EXPERIMENT = Experiment(
    number=23,
    name="primary-returns",
    title="the primary pauses and returns",
    hypothesis="No write that was acknowledged or read is lost, whenever a silent primary returns; where nodes wait for"
    " it, no request fails.",
    reference="with WAIT alone, 250 to 367 of 2,000 acknowledged writes lost",
    during=5,
    variants=tuple(absences("", "", pause_primary)),
)
