"""Random faults on real clusters, half a minute for each store: nothing is lost; where something is, the run ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy import StoreKind
from loadtest.claims.claim import Verdict
from loadtest.experiment import Place
from loadtest.random_faults import STORES, make_experiment
from loadtest.suite import Suite, SuiteLoad
from loadtest.targets import local_cluster


@pytest.mark.parametrize("store", STORES)
def test_nothing_is_lost_under_random_faults(store: StoreKind, tmp_path: Path) -> None:
    words = ("failover", "random", "--store", store, "--seconds", "30", "--seed", "1", "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "session_cluster", *words], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Replay: session-cluster failover random --store {store} --seconds 30 --seed 1" in done.stdout


def test_a_run_ends_at_the_first_loss(tmp_path: Path) -> None:
    experiment = make_experiment(StoreKind.MEMORY, 1, 60)
    suite = Suite([experiment], SuiteLoad(), tmp_path, {Place.LOCAL: local_cluster})
    (result,) = suite.run(lambda status: None)
    assert result.verdict is Verdict.BROKEN
    assert result.findings is not None
    assert len(result.findings.phases) < len(experiment.variants[0].phases)
