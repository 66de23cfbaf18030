"""`session-cluster up`, as a person runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.commands import COMMAND, run_command
from tests.support.node import ROOT
from tests.support.traffic import Visitor
from tests.support.waiting import lives, wait_until


class Up:
    """The command in the background, with its state in `folder`."""

    def __init__(self, folder: Path, *options: str, ignored: int | None = None) -> None:
        """`ignored`: a signal that the command ignores at its start, as a shell's job in the background does SIGINT."""

        def set_signals() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whatever this process inherited
            if ignored is not None:
                signal.signal(ignored, signal.SIG_IGN)

        self.folder = folder
        self.output = folder.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--port", "0", "--state", str(folder), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "COLUMNS": "80"},
                preexec_fn=set_signals,
            )
        wait_until(lambda: "Ctrl-C" in self.output.read_text() or self.process.poll() is not None, "up is ready", 60)
        assert self.process.poll() is None, self.output.read_text()
        self.state: dict[str, Any] = json.loads((folder / "cluster.json").read_text())

    @property
    def pids(self) -> list[int]:
        """Of everything that belongs to the cluster: the processes and their children, and the reaper."""
        command = psutil.Process(self.process.pid)
        return [child.pid for child in command.children(recursive=True)]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def running(folder: Path, *options: str, ignored: int | None = None) -> Iterator[Up]:
    command = Up(folder, *options, ignored=ignored)
    try:
        yield command
    finally:
        with contextlib.suppress(ProcessLookupError):
            command.process.kill()
        command.process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """For tests that leave it as it is."""
    with running(tmp_path_factory.mktemp("up") / "state", "--nodes", "2") as command:
        yield command


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with running(tmp_path / "state", "--nodes", "1") as command:
        yield command


def test_the_output_names_the_address_the_users_and_the_logs(shared: Up) -> None:
    said = shared.output.read_text()
    for text in (
        shared.state["url"],
        "alice, bob, carol",
        shared.state["password"],
        str(shared.folder / "logs"),
        "node-2",
    ):
        assert text in said
    assert max(len(line) for line in said.splitlines() if str(shared.folder) not in line) <= 80


def test_the_state_folder_is_private_and_names_every_process(shared: Up) -> None:
    path = shared.folder / "cluster.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.folder.stat().st_mode) == 0o700
    processes = shared.state["processes"]
    assert [process["name"] for process in processes] == ["proxy", "node-1", "node-2", "store"]
    for process in processes:
        assert lives(process["pid"])
        host, port = process["address"].split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        assert Path(process["log"]).exists()


def test_a_user_logs_in_with_the_printed_password_alone(shared: Up) -> None:
    browser = Visitor(shared.state["url"])
    browser.ask("POST", "/login", {"user": "alice", "password": "alice"}, status=401)
    browser.log_in(shared.state["users"])
    served = {browser.get("/me").node for _ in range(6)}
    assert served == {"node-1", "node-2"}
    assert browser.get("/me").json["user"] == "alice"


@pytest.mark.parametrize(
    ("number", "ignored"), [(signal.SIGINT, None), (signal.SIGTERM, signal.SIGINT), (signal.SIGHUP, None)]
)
def test_a_signal_stops_everything_also_in_the_background(
    tmp_path: Path, number: signal.Signals, ignored: int | None
) -> None:
    with running(tmp_path / "state", "--nodes", "1", ignored=ignored) as up:
        pids = up.pids
        assert len(pids) >= 6
        assert up.end(number) == 128 + number
        wait_until(lambda: not lives(*pids), "everything has ended")
        for removed in ("cluster.json", "secrets", "data", "tls"):
            assert not (up.folder / removed).exists()
        assert (up.folder / "logs" / "node-1.log").exists()


def test_no_process_outlives_a_killed_command_not_even_a_paused_node(up: Up) -> None:
    pids = up.pids
    node = next(process for process in up.state["processes"] if process["name"] == "node-1")
    os.killpg(node["pid"], signal.SIGSTOP)
    up.end(signal.SIGKILL)
    wait_until(lambda: not lives(*pids), "everything has ended")
    assert not (up.folder / "cluster.json").exists()


def test_a_process_that_ends_is_reported(up: Up) -> None:
    node = next(process for process in up.state["processes"] if process["name"] == "node-1")
    os.killpg(node["pid"], signal.SIGKILL)
    wait_until(lambda: "node-1 ended" in up.output.read_text(), "the report")


def test_the_nodes_may_run_another_application(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--nodes", "2", "--node", "flask-session") as up:
        assert "2 flask-session nodes, sessions in redis" in up.output.read_text()
        assert (up.state["node"], up.state["session_cookie"]) == ("flask-session", "session")
        browser = Visitor(up.state["url"])
        browser.log_in(up.state["users"])
        assert {browser.get("/me").node for _ in range(4)} == {"node-1", "node-2"}
        assert browser.get("/me").json["user"] == "alice"


def test_a_folder_holds_one_cluster(shared: Up) -> None:
    refused = run_command("up", "--port", "0", "--state", str(shared.folder))
    assert refused.returncode == 1
    assert f"in use by a cluster (pid {shared.process.pid})" in refused.stderr


def test_starting_costs_at_most_six_seconds_of_cpu(tmp_path: Path) -> None:
    """Wall time is the machine's load; what the start itself costs is the processor time of all that it started."""
    started = time.monotonic()
    with running(tmp_path / "state") as up:
        wall = time.monotonic() - started
        everyone = [psutil.Process(up.process.pid), *map(psutil.Process, up.pids)]
        spent = sum(sum(process.cpu_times()[:4]) for process in everyone)
    assert spent < 6, f"{spent:.1f} s of CPU, {wall:.1f} s in all"  # two cores: three seconds
