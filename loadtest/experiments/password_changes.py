"""26: changes of passwords while the network to the store is cut again and again."""

from deploy import StoreKind
from loadtest.claims.data import CHANGES_ARE_WHOLE
from loadtest.experiment import Experiment, Variant, cluster, make_accounts
from loadtest.faults import cuts
from loadtest.load_profile import Mix

USERS = 12
DELAY = 0.01
"""Delay of every answer of the store in seconds: a change of password has about 15 round trips."""

EXPERIMENT = Experiment(
    number=26,
    name="password-changes",
    title="passwords changed under cuts",
    hypothesis="A change of password that is cut off leaves no other session with the new password.",
    reference="half a change: 503, and the other sessions went on",
    mix=Mix.TABS,
    weights={"AccountUser": 1},
    users=USERS,
    before=2,
    during=2,
    after=4,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS, store_proxy=True, users=make_accounts(USERS)),
            fault=cuts(90, 0.2, DELAY),
            claims=(CHANGES_ARE_WHOLE,),
        ),
    ),
)
