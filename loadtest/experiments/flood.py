"""28: a flood of new visitors, each of which leaves one visit and never comes back, beside users who log in."""

from deploy import StoreKind, StoreSettings
from loadtest.checker.phases import DURING
from loadtest.claims.availability import LOGINS_REFUSED, ONLY_NEWCOMERS_REFUSED, gap_within
from loadtest.claims.claim import Claim
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import users_within
from loadtest.experiment import AFTER, BEFORE, Experiment, Phase, Variant, cluster
from loadtest.faults import fill_store_to
from loadtest.load_profile import Arrivals, Comers, Mix
from nodes.settings import Settings

RATE = 100
"""Newcomers a second."""
FILLED, NEARLY_FULL = 0.79, 0.93
"""Used shares of the store. Without limits, newcomers fill the rest of a store that is nearly full in about 15 s."""
PATIENT = {"STORE_CONNECT_TIMEOUT": "1", "STORE_READ_TIMEOUT": "1", "STORE_DEADLINE": "2"}
"""On a busy machine no request shall fail because the load is too much for it: that is experiment 21."""
HOLDING = (NOTHING_LOST, ONLY_NEWCOMERS_REFUSED, users_within(2.0), gap_within(0.5))


def _variant(
    name: str,
    title: str,
    claims: tuple[Claim, ...],
    filled: float = FILLED,
    hypothesis: str = "",
    **node_settings: str,
) -> Variant:
    flood = Arrivals(rate=RATE, kind=Comers.NEWCOMERS)
    fault = fill_store_to(filled)
    return Variant(
        name=name,
        title=title,
        hypothesis=hypothesis,
        spec=cluster(
            3,
            StoreKind.REDIS,
            # Connections take up to 0.6 MB of it.
            store_settings=StoreSettings(max_memory="4mb"),
            node_settings={**PATIENT, **node_settings},
            proxy={"max_in_flight": 1000},
        ),
        phases=(
            Phase(name=BEFORE, seconds=3.0, words="steady"),
            Phase(name=DURING, seconds=24, words="flood", fault=fault, arrivals=flood, undo=True, min_seconds=14),
            Phase(name=AFTER, seconds=3.0, words="steady again"),
        ),
        claims=claims,
    )


EXPERIMENT = Experiment(
    number=28,
    name="flood",
    title="a flood of new visitors",
    hypothesis="However many anonymous sessions are started at a store of which four fifths are used, users log in"
    " and write as before; the flood gets a 429 or a 503.",
    reference="without limits: logins 503 once the store is full",
    # Writes of tabs whose user is logged out would start anonymous sessions.
    mix=Mix.EVERYDAY,
    weights={"Visitor": 3, "Shopper": 3, "Leaver": 6},
    variants=(
        _variant("one-address", "from one address", HOLDING, SESSION_ANONYMOUS_RATE=str(Settings.anonymous_rate)),
        # All clients of an experiment have one address. Without its limit they are as many.
        _variant("many-addresses", "from many addresses", HOLDING),
        _variant(
            "unlimited",
            "without limits",
            (NOTHING_LOST, LOGINS_REFUSED),
            NEARLY_FULL,
            "Without limits, newcomers fill the store, and users can't log in.",
            SESSION_ANONYMOUS_PERCENT="100",
        ),
    ),
)
