"""Short forms of some experiments that need containers. `make test-nightly` runs all in full."""

from pathlib import Path

import pytest

from deploy import ComposeCluster, NodeKind, StoreKind
from loadtest.claims.claim import Verdict
from loadtest.experiment import Place
from loadtest.load_profile import LoadProfile
from loadtest.matrix import Cell, run_matrix
from loadtest.suite import Suite, SuiteLoad
from proxy import Balance
from tests.support.alone import alone_under_load
from tests.support.experiments import only

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # they wait for the machine

SUITE_LOAD = SuiteLoad(users=20, wait=(0.1, 0.4), share=0.4)
CASES = (("node-moves", ""),)


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_an_experiment_holds_in_containers(name: str, variant: str, tmp_path: Path) -> None:
    suite = Suite([only(name, variant)], SUITE_LOAD, tmp_path, {Place.COMPOSE: alone_under_load(ComposeCluster)})
    (result,) = suite.run(lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
    assert {"nginx", "redis"} <= set(result.versions)


@pytest.mark.nightly  # tests/cluster has one of local clusters
def test_the_matrix_measures_processes_and_the_store_in_containers() -> None:
    cell = Cell(NodeKind.FLASK, StoreKind.REDIS, Balance.ROUND_ROBIN, 2)
    profile = LoadProfile(users=8, spawn_rate=8, wait=(0.0, 0.1))
    (result,) = run_matrix([cell], profile, 2.0, alone_under_load(ComposeCluster), lambda _: None)
    assert result.load is not None, result.error
    assert result.cost is not None
    assert result.cost.cpu["node"] > 0.2
    assert result.cost.operations is not None
    assert 1 < result.cost.operations < 12
