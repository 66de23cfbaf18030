"""The runner on a real cluster: the steady state, the fault, and its undo however the run ends."""

import contextlib
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy import Cluster, ClusterError, ClusterSpec, LocalCluster, StoreKind
from deploy.signals import interruptible
from loadtest.checker import Kind
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.claim import Claim, Verdict
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Place, Variant, cluster
from loadtest.faults import Fault, pause
from loadtest.faults.fault import do_nothing
from loadtest.history import Mark, Note, read
from loadtest.progress import Status
from loadtest.results import HISTORY, RESULT, Result, read_result, write_results
from loadtest.suite import Suite, SuiteLoad
from tests.support.commands import default_signals

SUITE_LOAD = SuiteLoad(users=14, wait=(0.1, 0.3))
COMMAND = "session-cluster failover run {name} --on {place} --users 14"


class Recorder:
    """Makes a fault that only writes down its calls; or raises `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self.error = error
        self.fault = Fault(what="write it down", apply=self.apply, undo=lambda _: self.calls.append("undo"))

    def apply(self, cluster: Cluster) -> None:
        self.calls.append("apply")
        if self.error is not None:
            raise self.error


def run(
    fault: Fault,
    folder: Path,
    *claims: Claim,
    store: StoreKind = StoreKind.REDIS,
    make: Callable[[ClusterSpec], LocalCluster] = LocalCluster,
    watch: Callable[[Status], None] = lambda _: None,
) -> Result:
    experiment = Experiment(
        number=99,
        name="test",
        title="a test",
        hypothesis="It can be tested.",
        variants=(Variant(spec=cluster(2, store), fault=fault, claims=claims or (NOTHING_LOST,)),),
        before=1.5,
        during=1.5,
        after=1.0,
    )
    (result,) = Suite([experiment], SUITE_LOAD, folder, {Place.LOCAL: make}, COMMAND).run(watch)
    return result


def test_a_run_leaves_a_result_and_its_history_with_all_that_a_report_needs(tmp_path: Path) -> None:
    recorder, said = Recorder(), []

    def watch(status: Status) -> None:
        requests = status.findings.total.operations if status.findings else 0
        said.append((status.stage, status.next_stage, requests > 0))

    result = run(recorder.fault, tmp_path, watch=watch)
    assert recorder.calls == ["apply", "undo"]
    assert result.verdict is Verdict.HOLDS, result.reason
    folder = tmp_path / "test" / "1"
    assert read_result(folder / RESULT) == result
    assert write_results(tmp_path).results == (result,)
    assert sorted(path.name for path in folder.iterdir()) == [HISTORY, RESULT]
    events = list(read(folder / HISTORY))
    marks = [event.name for event in events if isinstance(event, Mark)]
    assert marks == ["arriving", "before", "during", "fault", "undo", "after", "end"]
    notes = {event.text for event in events if isinstance(event, Note)}
    assert {"the fault is applied", "the fault is undone"} <= notes
    assert result.findings is not None
    assert set(result.findings.phases) == {"arriving", "before", "during", "after"}
    assert set(result.findings.availability) == {"site", "session"}
    assert 0 < result.generator_cpu < 1.2
    assert {"nginx", "valkey", "python", "flask", "gunicorn", "redis-py"} <= set(result.versions)
    assert result.cluster["nodes"] == 2
    assert result.command == "session-cluster failover run test --on local --users 14"
    timing = result.timing
    assert timing is not None
    assert timing.before < timing.fault <= timing.faulty < timing.undo <= timing.undone < timing.ended
    stages = list(dict.fromkeys(said))
    assert ("steady", "apply: write it down", True) in stages
    assert ("watch", "undo", True) in stages


def test_a_loss_breaks_the_hypothesis(tmp_path: Path) -> None:
    result = run(Recorder().fault, tmp_path, NOTHING_LOST, NO_FAILED_REQUEST, store=StoreKind.MEMORY)
    assert result.verdict is Verdict.BROKEN
    assert result.findings is not None
    assert result.findings.sessions_lost > 0
    assert "session lost" in result.reason
    first, *_ = result.findings.examples[Kind.SESSION_LOST]
    assert re.match(r"(GET|POST) /\w*.*, status 200 at .* by node-\d, after POST /login, ", result.find_requests(first))


def test_a_fault_that_fails_half_way_is_undone_and_the_run_does_not_hold(tmp_path: Path) -> None:
    recorder = Recorder(error=ClusterError("the plug is stuck"))
    result = run(recorder.fault, tmp_path)
    assert recorder.calls == ["apply", "undo"]
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert "the plug is stuck" in result.reason
    assert read_result(tmp_path / "test" / "1" / RESULT) == result


def test_the_fault_is_undone_when_the_load_generator_dies(tmp_path: Path) -> None:
    recorder = Recorder()

    def kill_generator(status: Status) -> None:
        if status.stage == "watch":
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.ZombieProcess):  # it is dead since the last look
                    if "locust" in child.cmdline():
                        child.kill()

    result = run(recorder.fault, tmp_path, watch=kill_generator)
    assert recorder.calls == ["apply", "undo"]
    assert "the load generator ended early" in result.reason


def test_ctrl_c_during_the_fault_undoes_it_and_ends_everything(tmp_path: Path) -> None:
    recorder = Recorder()

    def interrupt(status: Status) -> None:
        if status.stage == "watch":
            os.kill(os.getpid(), signal.SIGINT)

    earlier = tmp_path / "test" / "1" / RESULT
    earlier.parent.mkdir(parents=True)
    earlier.write_text("the result of an earlier run")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with default_signals(), pytest.raises(KeyboardInterrupt), interruptible():
        run(recorder.fault, tmp_path, watch=interrupt)
    assert recorder.calls == ["apply", "undo"]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert [path.read_text() for path in earlier.parent.iterdir()] == ["the result of an earlier run"]


def test_without_a_steady_state_no_fault_is_applied(tmp_path: Path) -> None:
    class OneNodePaused(LocalCluster):
        def wait_ready(self, timeout: float = 30.0) -> None:
            super().wait_ready(timeout)
            self.pause("node-2")

    recorder = Recorder()
    result = run(recorder.fault, tmp_path, make=OneNodePaused)
    assert recorder.calls == []
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert "node-2 is paused" in result.reason


def test_a_cluster_that_is_not_steady_after_the_undo_breaks_the_hypothesis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.runner.RECOVERY_TIMEOUT", 0.5)
    result = run(replace(pause("node-2"), undo=do_nothing), tmp_path)
    assert result.verdict is Verdict.BROKEN
    assert "the cluster is steady after the undo: node-2 is paused" in result.reason
