"""16: a logout while other requests of its session are in flight, on every store."""

from deploy import NodeKind
from loadtest.claims.availability import NO_FAILED_GET
from loadtest.claims.data import LOGOUTS_STAY, NOTHING_ELSE_LOST
from loadtest.experiment import Experiment, make_variants
from loadtest.load_profile import Mix

SLOW = 0.06
"""Delay of every answer of the store in seconds, so that a write, with two round trips, is in flight for long."""

EXPERIMENT = Experiment(
    number=16,
    name="late-writes",
    title="logout during slow requests",
    hypothesis="A session that was logged out stays so, whatever requests of it were in flight.",
    reference="revived by express-session and Flask-Session",
    mix=Mix.LOGOUT_RACE,
    users=4,
    before=1,
    during=6,
    after=1,
    variants=make_variants((LOGOUTS_STAY, NOTHING_ELSE_LOST, NO_FAILED_GET), delay=SLOW),
    nodes=frozenset(NodeKind),
)
