"""21: twice as many requests arrive as the cluster can bear, whether or not earlier ones were answered.

The cluster has one core, the load generator another. First a closed loop finds the limit: its rate of good answers is
the best that the cluster can do. Then arrivals come at twice that rate.
"""

from deploy import StoreKind
from loadtest.checker.phases import DURING
from loadtest.claims.availability import ONLY_SHED, recovers_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import goodput, served_within
from loadtest.experiment import AFTER, BEFORE, Experiment, Phase, Place, Variant, cluster
from loadtest.faults import ONE_CORE
from loadtest.load_profile import Arrivals, Mix

LIMIT = "limit"
IN_FLIGHT = 16
"""Enough to keep the core busy."""
TIMES = 2.0
NGINX_DEFAULTS = {
    "max_in_flight": None,
    "spares": False,
    "max_fails": 1,
    "fail_timeout": 10,
    "connect_timeout": 60,
    "get_timeout": 60,
    "read_timeout": 60,
    "tries": 100,
    "tries_timeout": 3600,
}

PHASES = (
    Phase(name=BEFORE, seconds=3.0, words="steady", fault=ONE_CORE, arrivals=Arrivals(rate=10)),
    Phase(name=LIMIT, seconds=6.0, words="find the limit", arrivals=Arrivals(in_flight=IN_FLIGHT), min_seconds=4.0),
    Phase(name="rest", seconds=1.0, words="rest"),
    Phase(
        name=DURING,
        seconds=8.0,
        words="overload",
        arrivals=Arrivals(times=TIMES),
        undo=True,
        min_seconds=5.0,
    ),
    Phase(name=AFTER, seconds=4.0, words="steady again"),
)

EXPERIMENT = Experiment(
    number=21,
    name="overload",
    title="twice the load it can bear",
    hypothesis="Of twice the load that it can bear, the cluster serves as much as at its best, soon, and refuses the"
    " rest with 503 and Retry-After; a second after the load it is back to normal.",
    reference="goodput (good answers a second): 80 % of the best",
    mix=Mix.EVERYDAY,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            phases=PHASES,
            claims=(
                NOTHING_LOST,
                ONLY_SHED,
                goodput(0.8, LIMIT, 0.75 * TIMES),
                served_within(1.5),
                recovers_within(1.0),
            ),
            places=frozenset({Place.LOCAL}),
        ),
        *(
            Variant(
                name=str(store),
                title=str(store),
                hypothesis=f"With {store} as the store, twice the load that it can bear loses nothing, and what is not"
                " served soon is refused with 503 and Retry-After.",
                spec=cluster(3, store),
                phases=PHASES,
                claims=(NOTHING_LOST, ONLY_SHED, served_within(2.5)),
                places=frozenset({Place.LOCAL}),
            )
            for store in (StoreKind.FILE, StoreKind.SQL)
        ),
        Variant(
            name="nginx-defaults",
            title="nginx's own defaults",
            hypothesis="With nginx's own defaults, twice the load that it can bear loses nothing. How many requests"
            " fail, and for how long, is for comparison.",
            spec=cluster(3, StoreKind.REDIS, proxy=NGINX_DEFAULTS),
            phases=PHASES,
            claims=(NOTHING_LOST,),
            places=frozenset({Place.LOCAL}),
        ),
    ),
)
