"""A cluster ends with the command that started it, however the command ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.node import ROOT
from tests.support.waiting import lives, wait_until

SCRIPT = """
import json, sys
from deploy import ClusterSpec, LocalCluster, StoreKind
with LocalCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS)) as cluster:
    cluster.pause("node-2")
    print(json.dumps([str(cluster.state_dir), *(member.pid for member in cluster.members())]), flush=True)
    sys.stdin.read()
"""


def started(*, code: str = SCRIPT) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def group(pid: int) -> list[int]:
    """A process and all that it started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def test_killing_the_command_ends_every_process_and_removes_the_temporary_folder() -> None:
    command = started()
    assert command.stdout
    folder, *members = json.loads(command.stdout.readline())
    processes = sorted({pid for member in members for pid in group(member)} | set(group(command.pid)))
    assert len(processes) >= 1 + 1 + 4 + 2 + 2  # the command, its reaper, two nodes with workers, nginx with one, store
    (reaper,) = (
        child.pid for child in psutil.Process(command.pid).children() if child.cmdline()[3].endswith("reaper.py")
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(reaper, number)  # as a terminal does, to all processes
    command.kill()
    command.communicate()
    wait_until(lambda: not lives(*processes), "every process has ended")
    wait_until(lambda: not Path(folder).exists(), "the folder is gone")


def test_killing_the_command_while_it_starts_leaves_nothing() -> None:
    for delay in (0, 2):
        command = started()
        found: set[int] = set()

        def grow(pid: int = command.pid, found: set[int] = found, most: int = delay) -> bool:
            found.update(group(pid))
            return len(found) > 2 + most

        wait_until(grow, "it has started some processes")
        found.update(group(command.pid))
        command.kill()
        command.communicate()
        wait_until(lambda found=found: not lives(*found), "every process has ended")  # type: ignore[misc]
