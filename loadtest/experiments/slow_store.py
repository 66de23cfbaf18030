"""12: a store that does not answer, and a slow one."""

from deploy import StoreKind
from loadtest.claims.availability import recovers_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import bounded, site_fast
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import BLACKHOLE, latency, pause

# A request asks the store up to three times, for at most 0.25 s each, and repeats a read once. The load generator and
# the nodes share two cores, so a second more does not prove that a worker is stuck.
BUDGET = 2.5
CLAIMS = (bounded(BUDGET), site_fast(0.5), NOTHING_LOST, recovers_within(0.5))

EXPERIMENT = Experiment(
    number=12,
    name="slow-store",
    title="Redis silent or slow",
    hypothesis="A store that is silent or slow costs each request its budget, and delays no other request.",
    reference="59 s with redis-py's defaults",
    during=5,
    variants=(
        Variant(
            name="silent",
            title="silent (SIGSTOP)",
            spec=cluster(3, StoreKind.REDIS),
            fault=pause("store"),
            claims=CLAIMS,
        ),
        Variant(
            name="unreachable",
            title="behind a silent network",
            spec=cluster(3, StoreKind.REDIS, store_proxy=True),
            fault=BLACKHOLE,
            claims=CLAIMS,
        ),
        Variant(
            name="slow",
            title="slow (+100 ms)",
            spec=cluster(3, StoreKind.REDIS, store_proxy=True),
            fault=latency(0.1),
            claims=CLAIMS,
        ),
    ),
)
