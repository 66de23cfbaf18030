"""Random faults on real clusters, for each store: nothing is lost; where something is, the run ends."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import StoreKind
from loadtest import runner
from loadtest.claims.claim import Verdict
from loadtest.experiment import AFTER, Place
from loadtest.random_faults import STORES, make_experiment
from loadtest.results import read_results
from loadtest.suite import Suite, SuiteLoad
from loadtest.targets.reference import local_cluster
from proxy import Balance
from tests.support.commands import interrupt_command


@pytest.mark.timeout(240)
@pytest.mark.parametrize("store", STORES)
def test_nothing_is_lost_under_random_faults(store: StoreKind, tmp_path: Path) -> None:
    words = ("failover", "random", "--store", store, "--seconds", "30", "--seed", "1", "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "session_cluster", *words], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Replay: session-cluster failover random --store {store} --seconds 30 --seed 1" in done.stdout
    (result,) = read_results(tmp_path / "out").results
    for one in result.processes:
        assert one.name in done.stdout
        assert min(one.begin.memory, one.end.memory) > 0
        assert min(one.begin.descriptors, one.end.descriptors) > 0
    names = {one.name for one in result.processes}
    assert names >= {"runner and checker", "load generator", "prober", "proxy", "node-1", "node-2", "node-3"}
    assert any(name.startswith("store") for name in names) == store.needs_redis
    assert any(name.startswith("sentinel") for name in names) == (store is StoreKind.REDIS_HA)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>runner and checker</td>" in page


def test_a_run_ends_after_its_operations(tmp_path: Path) -> None:
    experiment = make_experiment(StoreKind.FILE, 1, 590, operations=300)
    suite = Suite([experiment], SuiteLoad(wait=(0.0, 0.1)), tmp_path, {Place.LOCAL: local_cluster})
    (result,) = suite.run(lambda status: None)
    assert result.verdict is Verdict.HOLDS, result.reason
    assert result.findings is not None
    assert result.findings.total.operations >= 300
    assert list(result.findings.phases)[-1] == AFTER
    assert len(result.findings.phases) < len(experiment.variants[0].phases) / 2


def test_a_run_that_ctrl_c_ends_has_a_report_of_what_was_seen(tmp_path: Path) -> None:
    words = ("failover", "random", "--store", "file", "--seconds", "60", "--seed", "1", "--out", tmp_path)
    status, rest, _ = interrupt_command(signal.SIGINT, ": quiet (next", *words)
    assert status == 130
    assert "Stopped after 0 of 1 runs; the fault is undone, everything has ended." in rest
    assert "a signal stopped it" in rest
    (result,) = read_results(tmp_path).results
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert result.findings is not None
    assert result.findings.total.operations > 0
    assert "Random faults on file" in (tmp_path / "report.html").read_text()


def test_a_run_ends_at_the_first_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of users who are pinned to the node that is killed first, whose memory has their sessions."""
    monkeypatch.setattr(runner, "HORIZON", 3.0)  # no answer is late here that could explain it
    experiment = make_experiment(StoreKind.MEMORY, 1, 60)
    (variant,) = experiment.variants
    pinned = replace(variant, spec=replace(variant.spec, workers=1, balance=Balance.STICKY))
    suite = Suite([replace(experiment, variants=(pinned,))], SuiteLoad(), tmp_path, {Place.LOCAL: local_cluster})
    (result,) = suite.run(lambda status: None)
    assert result.verdict is Verdict.BROKEN
    assert result.findings is not None
    assert "1: kill node-1" in result.findings.phases
    assert len(result.findings.phases) < len(variant.phases) / 2
