"""25: browsers with tabs log in again, change passwords and end other sessions, on every store that lists sessions."""

from dataclasses import replace

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_GET
from loadtest.claims.data import LOGINS_STAY
from loadtest.experiment import Experiment, make_accounts, make_variants
from loadtest.load_profile import Mix

USERS = 12

EXPERIMENT = Experiment(
    number=25,
    name="login-again",
    title="logging in again with tabs",
    hypothesis="A browser that logs in again stays logged in and loses nothing, whatever its other tabs do meanwhile.",
    reference="1 of 12 logins lost before late writes were refused",
    mix=Mix.TABS,
    users=USERS,
    before=1,
    during=10,
    after=1,
    variants=tuple(
        replace(variant, spec=replace(variant.spec, users=make_accounts(USERS)))
        for variant in make_variants((LOGINS_STAY, NO_FAILED_GET))
        if variant.spec.store is not StoreKind.EXPRESS
    ),
)
