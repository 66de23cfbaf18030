"""A short form of each experiment: few users, seconds instead of a long look. Their hypotheses hold all the same."""

from pathlib import Path

import pytest

from deploy import LocalCluster
from loadtest.experiment import Case
from loadtest.experiments import EXPERIMENTS
from loadtest.failover.session import Plan, run_all
from loadtest.failover.trial import Effort
from loadtest.results import Place
from loadtest.stores import EVERY_STORE
from loadtest.verdict import Verdict

EFFORT = Effort(users=20, wait=(0.1, 0.4), share=0.4)
# What a store promises for one session is in the stores' own contract; here one stands for all. And of two ways to be
# silent one is enough.
LEFT_OUT = {
    f"{name}.{store}"
    for name in ("concurrent-writes", "late-writes")
    for store in (each.name for each in EVERY_STORE)
    if store != "redis"
} | {"slow-store.unreachable", "first-sentinel-dead.silent"}
CASES = [
    case
    for experiment in EXPERIMENTS
    for case in (Case(experiment, variant) for variant in experiment.variants)
    if Place.LOCAL in case.variant.places and case.name not in LEFT_OUT
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_hypothesis_holds(case: Case, tmp_path: Path) -> None:
    plan = Plan([case.experiment], 1, EFFORT, tmp_path, "", {Place.LOCAL: LocalCluster}, variants=(case.variant.name,))
    (result,) = run_all(plan, lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
