"""A short form of some experiments: few users, and half the time. Their hypotheses hold all the same.

`make test-nightly` runs all experiments in full, with `session-cluster failover run --all`.
"""

from pathlib import Path

import pytest

from deploy import LocalCluster
from loadtest.claims import Verdict
from loadtest.experiment import Place
from loadtest.suite import Suite, SuiteLoad
from tests.support.experiments import only

SUITE_LOAD = SuiteLoad(users=20, wait=(0.1, 0.4), share=0.4)
CASES = (
    ("memory-round-robin", ""),
    ("kill-node", ""),
    ("kill-sticky-shared", ""),
    ("primary-killed", "fail-fast"),
    ("primary-returns", "1700ms"),
    ("primary-returns", "fail-fast-1700ms"),
    ("primary-cut-off", "sentinels-1700ms"),
    ("store-outage", ""),
    ("concurrent-writes", "redis"),
    ("password-changes", ""),
    ("login-again", "redis"),
    ("bad-answers", "any"),
)


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_a_short_form_of_an_experiment_holds(name: str, variant: str, tmp_path: Path) -> None:
    suite = Suite([only(name, variant)], SUITE_LOAD, tmp_path, {Place.LOCAL: LocalCluster})
    (result,) = suite.run(lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
