"""A short form of each experiment: few users, and half the time. Their hypotheses hold all the same."""

from pathlib import Path

import pytest

from deploy import LocalCluster
from loadtest.claims import Verdict
from loadtest.experiment import Case, Place
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.suite import Suite, SuiteLoad
from tests.support.experiments import only

SUITE_LOAD = SuiteLoad(users=20, wait=(0.1, 0.4), share=0.4)
# The stores' contract holds what a store promises for one session; here one stands for all. And of two ways to be
# silent one is enough.
LEFT_OUT = {
    f"{name}.{variant.name}"
    for name in ("concurrent-writes", "late-writes")
    for variant in BY_NAME[name].variants
    if variant.name != "redis"
} | {"slow-store.unreachable", "first-sentinel-dead.silent"}
QUICK = {"memory-round-robin", "kill-node", "primary-killed.fail-fast", "store-outage", "concurrent-writes.redis"}
CASES = [
    pytest.param(case, id=case.name, marks=[] if case.name in QUICK else [pytest.mark.nightly])
    for experiment in EXPERIMENTS
    for case in (Case(experiment, variant) for variant in experiment.variants)
    if Place.LOCAL in case.variant.places and case.name not in LEFT_OUT
]


@pytest.mark.parametrize("case", CASES)
def test_a_short_form_of_an_experiment_holds(case: Case, tmp_path: Path) -> None:
    suite = Suite([only(case.experiment.name, case.variant.name)], SUITE_LOAD, tmp_path, {Place.LOCAL: LocalCluster})
    (result,) = suite.run(lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
