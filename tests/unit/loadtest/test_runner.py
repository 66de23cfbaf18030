"""When a run ends early: findings of a history that is still being written are provisional."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from deploy import Cluster
from deploy.signals import interruptible
from loadtest import runner as module
from loadtest.checker import Checker, Findings, Kind, PhaseFigures
from loadtest.checker.phases import DURING
from loadtest.experiment import Phase
from loadtest.faults import Fault
from loadtest.load_profile import LoadProfile
from loadtest.progress import Schedule, Status
from loadtest.runner import Runner
from loadtest.target import RunningTarget

NOTHING = Checker().findings()


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(module, "HORIZON", 0.3)
    monkeypatch.setattr(module, "POLL", 0.01)
    target = RunningTarget(url="http://127.0.0.1:1", users={}, session_cookie="session", authority=None, insecure=False)
    profile = LoadProfile(users=1, spawn_rate=1, wait=(0, 0))
    return Runner(target, profile, tmp_path, Schedule([], Status("", 1, 1)), lambda _: None, title="")


def looking(runner: Runner, monkeypatch: pytest.MonkeyPatch, *lost: int) -> None:
    """Let the history show so many lost sessions, one number after another; the last one stays."""
    numbers = iter(lost)

    def look() -> Iterator[Findings]:
        last = 0
        while True:
            last = next(numbers, last)
            found = {Kind.SESSION_LOST: last} if last else {}
            yield msgspec.structs.replace(NOTHING, total=PhaseFigures(seconds=1.0, found=found))

    findings = look()
    monkeypatch.setattr(runner, "_look", lambda: next(findings))


def test_a_loss_that_a_later_answer_explains_does_not_end_a_run(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking(runner, monkeypatch, 1, 1, 0)
    assert not runner.has_lost()


def test_a_loss_that_stays_found_ends_a_run(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    looking(runner, monkeypatch, 1)
    assert runner.has_lost()


class Stop(Exception):
    pass


@pytest.mark.parametrize("at", ["watch", "undo"])
def test_a_watch_that_ends_the_run_leaves_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    done: list[str] = []

    def note(what: str) -> Callable[[Cluster], None]:
        return lambda _: done.append(what)

    fault = Fault(what="kill node-2", apply=note("apply"), undo=note("undo"), seconds=1.0)
    phase = Phase(name=DURING, seconds=0.01, words="watch", fault=fault, undo=True)

    def watch(status: Status) -> None:
        if status.stage == at:
            raise Stop

    target = RunningTarget(url="http://127.0.0.1:1", users={}, session_cookie="session", authority=None, insecure=False)
    profile = LoadProfile(users=1, spawn_rate=1, wait=(0, 0))
    stopped = Runner(target, profile, tmp_path, Schedule([phase], Status("", 1, 1)), watch)
    monkeypatch.setattr(Runner, "_cluster", None)
    for name in ("_mark", "_note"):
        monkeypatch.setattr(stopped, name, lambda *_: None)
    monkeypatch.setattr(stopped, "_look", lambda: NOTHING)
    with pytest.raises(Stop):
        stopped.run(phase)
    assert done == ["apply", "undo"]


def test_a_signal_waits_until_the_events_that_were_read_are_checked(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def read(_: object) -> Findings:
        signal.raise_signal(signal.SIGTERM)  # a suite in the background inherits that SIGINT is ignored
        done.append("checked")
        return NOTHING

    monkeypatch.setattr(runner, "_generator", SimpleNamespace(check=lambda: None), raising=False)
    monkeypatch.setattr(runner, "_history", SimpleNamespace(read=read), raising=False)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        runner._look()
    assert done == ["checked"]


def test_a_stage_whose_name_repeats_is_the_next_one_of_that_name() -> None:
    status = Status("", 1, 1)
    phases = [Phase(name=name, seconds=seconds) for name, seconds in (("quiet", 1.0), ("fault", 2.0), ("quiet", 3.0))]
    schedule = Schedule(phases, status)
    lengths = []
    for phase in phases:
        schedule.enter(phase.name)
        lengths.append(round(status.stage_ends_at - status.stage_began_at, 3))
    assert lengths == [1.0, 2.0, 3.0]
