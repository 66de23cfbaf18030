"""What a command that was killed had done to a target is undone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.broken_target import BROKEN_TARGET
from tests.support.described import write_target
from tests.support.waiting import lives, wait_until

COMMANDS = """
[runtime]
kind = "commands"
start_timeout = 0.5
environment = { WHERE = "{state}" }
roles.node = ["web-0", "web-1"]

[runtime.actions]
kill = "echo kill {member} >> did"
pause = "echo pause {member} >> did"
resume = "echo resume {member} in $WHERE >> did"
restart = "echo restart {member} in $WHERE >> did"
scale = "echo scale {nodes} >> did"
"""
STORE = "import time; time.sleep(600)"
PROCESSES = f"""
[runtime]
kind = "processes"
roles.node = ["web"]
roles.store = ["redis"]

[runtime.members.web]
start = "{sys.executable} -S -c 'import time; time.sleep(600)'"

[runtime.members.redis]
pid_file = "redis.pid"
"""


def broken(file: Path, *steps: str, kill: bool = True) -> str:
    """Do this to a target in a process of its own; kill the process, or let it end. Return its state folder."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*BROKEN_TARGET, str(file), *steps], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        assert folder
        if kill:
            process.kill()
    return folder


def did(folder: Path) -> list[str]:
    return (folder / "did").read_text().splitlines() if (folder / "did").exists() else []


def test_what_a_killed_command_has_left_is_repaired_by_commands(tmp_path: Path) -> None:
    file = write_target(tmp_path, COMMANDS).path
    state = broken(file, "pause node-2", "kill node-1", "scale 4")
    repaired = [f"resume web-1 in {state}", f"restart web-0 in {state}", "scale 2"]
    wait_until(lambda: did(tmp_path)[3:] == repaired, "all of it is repaired")
    wait_until(lambda: not Path(state).exists(), "and the folder of the run removed")


def test_what_a_command_has_repaired_itself_is_not_repaired_again(tmp_path: Path) -> None:
    file = write_target(tmp_path, COMMANDS).path
    broken(file, "pause node-2", "resume node-2", kill=False)
    broken(file, "kill node-1", "restart node-1")
    wait_until(lambda: not _reapers(file), "no reaper is left")
    assert [line.split()[0] for line in did(tmp_path)] == ["pause", "resume", "kill", "restart"]


def _reapers(file: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if str(file.resolve()) in (one.info["cmdline"] or [])]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[psutil.Popen]:
    process = psutil.Popen([sys.executable, "-S", "-c", STORE])
    (tmp_path / "redis.pid").write_text(str(process.pid))
    yield process
    with suppress(psutil.NoSuchProcess):
        process.kill()
    process.wait()


def test_a_process_that_was_found_and_paused_is_resumed_after_the_command_was_killed(
    tmp_path: Path, store: psutil.Popen
) -> None:
    file = write_target(tmp_path, PROCESSES).path
    broken(file, "pause store", "kill node-1")
    wait_until(lambda: store.status() != psutil.STATUS_STOPPED, "it is resumed")
    wait_until(lambda: not _reapers(file), "and the reaper has ended")


def test_a_process_that_a_killed_command_had_killed_is_started_again(tmp_path: Path, store: psutil.Popen) -> None:
    (tmp_path / "start.sh").write_text(f'echo $$ > again; exec {sys.executable} -S -c "{STORE}"')
    text = f'{PROCESSES}start = "sh start.sh"\n'
    file = write_target(tmp_path, text).path
    broken(file, "kill store")
    store.wait()
    wait_until(lambda: (tmp_path / "again").exists() and (tmp_path / "again").read_text().strip() != "", "it starts")
    pid = int((tmp_path / "again").read_text())
    try:
        assert lives(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
