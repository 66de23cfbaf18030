"""When a run ends early: findings of a history that is still being written are provisional."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadtest import runner as module
from loadtest.checker import Checker, Findings, Kind, PhaseFigures
from loadtest.load_profile import LoadProfile
from loadtest.progress import Status
from loadtest.runner import Runner, Schedule
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


def test_what_a_later_answer_explains_ends_no_run(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    looking(runner, monkeypatch, 1, 1, 0)
    assert not runner.has_lost()


def test_what_stays_found_ends_a_run(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    looking(runner, monkeypatch, 1)
    assert runner.has_lost()
