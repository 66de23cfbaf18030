"""The runner on a real cluster: the steady state, the fault, and its undo whatever happens."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from deploy import Cluster, ClusterError, LocalCluster, StoreKind
from loadtest.claims import NO_FAILED_REQUEST, NOTHING_LOST, Claim
from loadtest.experiment import Case, Experiment, Variant, cluster
from loadtest.failover.course import Course
from loadtest.failover.interruption import interruptible, uninterrupted
from loadtest.failover.session import Plan, run_all
from loadtest.failover.trial import Effort
from loadtest.faults import Fault, Pause
from loadtest.history import Mark
from loadtest.history import read as read_history
from loadtest.old_generator import GeneratorError
from loadtest.progress import Status
from loadtest.results import HISTORY, RESULT, Place, Result, read, write_all
from loadtest.runner import run
from loadtest.verdict import Verdict

EFFORT = Effort(users=14, wait=(0.1, 0.3))


@dataclass
class Recorded:
    """Does nothing but write down that it was asked to; or raises `error`."""

    calls: list[str] = field(default_factory=list)
    error: BaseException | None = None
    what: str = "write it down"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        self.calls.append("apply")
        if self.error is not None:
            raise self.error

    def undo(self, cluster: Cluster) -> None:
        self.calls.append("undo")


def experiment(fault: Fault, *claims: Claim, store: StoreKind = StoreKind.REDIS) -> Experiment:
    variant = Variant(spec=cluster(2, store), fault=fault, claims=claims or (NOTHING_LOST,))
    return Experiment(
        number=99,
        name="test",
        title="a test",
        hypothesis="It can be tested.",
        variants=(variant,),
        before=1.5,
        during=1.5,
        after=1.0,
    )


def trial(fault: Fault, folder: Path, watch: Callable[[Status], None] = lambda _: None) -> None:
    case = Case(tested := experiment(fault), tested.variants[0])
    status = Status("", 1, 1)
    course = Course(case, 1.0, status, 0.0)
    run(case, EFFORT, folder / "operations.jsonl.gz", LocalCluster, course, lambda: watch(status))


def result_of(tested: Experiment, folder: Path, make: Callable[..., LocalCluster] = LocalCluster) -> Result:
    plan = Plan([tested], 1, EFFORT, folder, "", {Place.LOCAL: make})
    (result,) = run_all(plan, lambda _: None)
    return result


def test_a_run_leaves_a_result_and_its_history_with_everything_that_a_report_needs(tmp_path: Path) -> None:
    fault = Recorded()
    said = []
    plan = Plan([experiment(fault)], 1, EFFORT, tmp_path, "--users 14", {Place.LOCAL: LocalCluster})
    (result,) = run_all(plan, lambda status: said.append((status.doing, status.then)))
    assert fault.calls == ["apply", "undo"]
    assert result.verdict is Verdict.HOLDS, result.reason
    folder = tmp_path / "test" / "1"
    assert read(folder / RESULT) == result
    assert write_all(tmp_path).results == (result,)
    assert sorted(path.name for path in folder.iterdir()) == [HISTORY, RESULT]
    marks = [event.name for event in read_history(folder / HISTORY) if isinstance(event, Mark)]
    assert marks == ["arriving", "before", "during", "fault", "undo", "after", "end"]
    assert result.findings is not None
    assert set(result.findings.phases) == {"arriving", "before", "during", "after"}
    assert set(result.findings.availability) == {"site", "session"}
    assert {"nginx", "valkey", "python", "flask", "gunicorn", "redis-py"} <= set(result.versions)
    assert result.cluster["nodes"] == 2
    assert result.command == "session-cluster failover run test --on local --users 14"
    timing = result.timing
    assert timing is not None
    assert timing.before < timing.fault <= timing.faulty < timing.undo <= timing.undone < timing.ended
    stages = list(dict.fromkeys(said))
    assert ("steady", "write it down") in stages
    assert ("after: write it down", "undoing it") in stages


def test_what_is_lost_breaks_the_hypothesis(tmp_path: Path) -> None:
    result = result_of(experiment(Recorded(), NOTHING_LOST, NO_FAILED_REQUEST, store=StoreKind.MEMORY), tmp_path)
    assert result.verdict is Verdict.BROKEN
    assert result.findings is not None
    assert result.findings.sessions_lost > 0
    assert "session lost" in result.reason


def test_a_fault_that_fails_half_way_is_undone_and_the_run_is_no_pass(tmp_path: Path) -> None:
    fault = Recorded(error=ClusterError("the plug is stuck"))
    result = result_of(experiment(fault), tmp_path)
    assert fault.calls == ["apply", "undo"]
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert "the plug is stuck" in result.reason
    assert read(tmp_path / "test" / "1" / RESULT) == result


def test_the_fault_is_undone_when_the_load_generator_dies(tmp_path: Path) -> None:
    fault = Recorded()

    def kill_generator(status: Status) -> None:
        if status.doing.startswith("after: "):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.ZombieProcess):  # it is dead since the last look
                    if "loadtest.generate" in child.cmdline():
                        child.kill()

    with pytest.raises(GeneratorError):
        trial(fault, tmp_path, kill_generator)
    assert fault.calls == ["apply", "undo"]


def test_ctrl_c_while_the_fault_is_there_undoes_it_and_ends_everything(tmp_path: Path) -> None:
    fault = Recorded()

    def interrupt(status: Status) -> None:
        if status.doing.startswith("after: "):
            os.kill(os.getpid(), signal.SIGINT)

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt), interruptible():
        trial(fault, tmp_path, interrupt)
    assert fault.calls == ["apply", "undo"]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_without_a_steady_state_no_fault_is_applied(tmp_path: Path) -> None:
    fault = Recorded()

    class Unwell(LocalCluster):
        def wait_ready(self, timeout: float = 30.0) -> None:
            super().wait_ready(timeout)
            self.pause("node-2")

    result = result_of(experiment(fault), tmp_path, Unwell)
    assert fault.calls == []
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert "node-2 is paused" in result.reason


def test_a_cluster_that_is_not_well_after_the_undo_breaks_the_hypothesis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.runner.WELL_AGAIN_TIMEOUT", 0.5)
    monkeypatch.setattr(Pause, "undo", lambda self, cluster: None)
    result = result_of(experiment(Pause("node-2")), tmp_path)
    assert result.verdict is Verdict.BROKEN
    assert "well again after it: node-2 is paused" in result.reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_undo_is_not_interrupted_and_the_signal_is_heard_afterwards(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        with uninterrupted():
            os.kill(os.getpid(), number)
            threading.Event().wait(0.01)
            done.append("undone")
        done.append("never")
    assert done == ["undone"]


def test_only_the_first_signal_interrupts_so_that_cleaning_up_is_not_disturbed() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("cleaned up")
    assert done == ["cleaned up"]
