"""A short form of some experiments: few users, and half the time. Their hypotheses hold all the same.

kill-node is in tests/cluster/test_installed.py, and concurrent writes are in the demo.
`make test-nightly` runs all experiments in full, with `session-cluster failover run --all`.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy import ClusterError, LocalCluster
from deploy.local.revision import EARLIER, extract_nodes
from loadtest.claims.availability import ONLY_SHED
from loadtest.claims.claim import Verdict
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Place
from loadtest.suite import Suite, SuiteLoad
from tests.support.alone import alone_under_load
from tests.support.experiments import only
from tests.support.lacks import lacks

pytestmark = pytest.mark.timeout(300)  # they wait for the machine

SUITE_LOAD = SuiteLoad(users=20, wait=(0.1, 0.4), share=0.4)
CASES = (
    ("primary-killed", "fail-fast"),
    ("primary-cut-off", "sentinels-1700ms"),
    ("store-outage", ""),
)


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_a_short_form_of_an_experiment_holds(name: str, variant: str, tmp_path: Path) -> None:
    holds(only(name, variant), tmp_path)


def test_a_deploy_from_an_earlier_version_in_short_form_holds(tmp_path: Path) -> None:
    try:
        extract_nodes(EARLIER, tmp_path / "nodes")
    except ClusterError as error:
        lacks(str(error))
    holds(only("rolling-deploy", "upgrade-redis"), tmp_path)


def test_overload_in_short_form_is_shed_and_loses_nothing(tmp_path: Path) -> None:
    # Its claims about goodput and times need a machine without other work.
    experiment = only("overload")
    (variant,) = experiment.variants
    holds(replace(experiment, variants=(replace(variant, claims=(NOTHING_LOST, ONLY_SHED)),)), tmp_path)


def holds(experiment: Experiment, folder: Path) -> None:
    suite = Suite([experiment], SUITE_LOAD, folder, {Place.LOCAL: alone_under_load(LocalCluster)})
    (result,) = suite.run(lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
