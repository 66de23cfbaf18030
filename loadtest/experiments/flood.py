"""28: a flood of new visitors, each of which leaves one visit and never comes back, beside users who log in."""

from deploy import StoreKind, StoreSettings
from loadtest.checker.phases import DURING
from loadtest.claims import NOTHING_LOST, ONLY_NEWCOMERS_REFUSED, gap_within, users_within
from loadtest.experiment import AFTER, BEFORE, Experiment, Phase, Variant, cluster
from loadtest.load_profile import Arrivals, Comers, Mix
from nodes.settings import Settings

RATE = 200
"""Newcomers a second, of 430 bytes each. An empty Valkey uses 1.1 MB of its 2 MiB and connections up to 0.4 MB, so that
without limits they fill it in 6 to 12 s."""
IDLE_TIMEOUT = 20
"""Seconds: longer than the flood, and short enough to see its sessions expire."""
PHASES = (
    Phase(name=BEFORE, seconds=3.0, words="steady"),
    Phase(
        name=DURING,
        seconds=18.0,
        words="flood",
        arrivals=Arrivals(rate=RATE, kind=Comers.NEWCOMERS),
        undo=True,
        min_seconds=10.0,
    ),
    Phase(name=AFTER, seconds=3.0, words="steady again"),
)


def _variant(name: str, title: str, **node_settings: str) -> Variant:
    return Variant(
        name=name,
        title=title,
        spec=cluster(
            3,
            StoreKind.REDIS,
            store_settings=StoreSettings(max_memory="2mb"),
            node_settings={"SESSION_IDLE_TIMEOUT": str(IDLE_TIMEOUT), **node_settings},
        ),
        phases=PHASES,
        claims=(NOTHING_LOST, ONLY_NEWCOMERS_REFUSED, users_within(1.0), gap_within(0.5)),
    )


EXPERIMENT = Experiment(
    number=28,
    name="flood",
    title="a flood of new visitors",
    hypothesis="However many anonymous sessions are asked for, users log in and write as before; the flood gets a 429"
    " or a 503, and once its sessions have expired new visitors are welcome again.",
    reference="before: logins 503 once the flood had filled the store",
    # Writes of tabs whose user is logged out would start anonymous sessions.
    mix=Mix.EVERYDAY,
    weights={"Visitor": 3, "Shopper": 3, "Leaver": 6},
    variants=(
        _variant("one-address", "from one address", SESSION_ANONYMOUS_RATE=str(Settings.anonymous_rate)),
        # All clients of an experiment have one address. Without its limit they are as many.
        _variant("many-addresses", "from many addresses"),
    ),
)
