"""`session-cluster up`, as a person runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.traffic import Browser
from tests.support.waiting import lives, until

COMMAND = [sys.executable, "-m", "session_cluster", "up"]
ROOT = Path(__file__).parents[3]


class Up:
    """The command in the background, with its state in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.output = folder.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "--port", "0", "--state", str(folder), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "COLUMNS": "80"},
            )
        until(lambda: "Ctrl-C" in self.output.read_text() or self.process.poll() is not None, "up is ready", 60)
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


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "state", "--nodes", "2")
    yield running
    with contextlib.suppress(ProcessLookupError):
        running.process.kill()
    running.process.wait()


def run(*options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **changes}
    return subprocess.run(
        [*COMMAND, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_says_where_to_go_who_may_log_in_and_where_the_logs_are(up: Up) -> None:
    said = up.output.read_text()
    for text in (up.state["url"], "alice, bob, carol", up.state["password"], str(up.folder / "logs"), "node-2"):
        assert text in said
    assert max(len(line) for line in said.splitlines() if str(up.folder) not in line) <= 80


def test_its_state_is_for_this_user_alone_and_names_every_process(up: Up) -> None:
    path = up.folder / "cluster.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(up.folder.stat().st_mode) == 0o700
    processes = up.state["processes"]
    assert [process["name"] for process in processes] == ["proxy", "node-1", "node-2", "store"]
    for process in processes:
        assert lives(process["pid"])
        host, port = process["address"].split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        assert Path(process["log"]).exists()


def test_a_user_logs_in_with_the_password_that_it_printed_and_no_other(up: Up) -> None:
    browser = Browser(up.state["url"])
    assert browser.post("/login", {"user": "alice", "password": "alice"}).status == 401
    assert browser.post("/login", {"user": "alice", "password": up.state["users"]["alice"]}).status == 200
    served = {browser.get("/me").node for _ in range(6)}
    assert served == {"node-1", "node-2"}
    assert browser.get("/me").json["user"] == "alice"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_of_it(up: Up, number: signal.Signals) -> None:
    pids = up.pids
    assert len(pids) >= 8
    assert up.end(number) == 128 + number
    until(lambda: not any(lives(pid) for pid in pids), "everything has ended")
    for kept_by_nobody in ("cluster.json", "secrets", "data", "tls"):
        assert not (up.folder / kept_by_nobody).exists()
    assert (up.folder / "logs" / "node-1.log").exists()


def test_nothing_outlives_a_command_that_is_killed_not_even_a_paused_node(up: Up) -> None:
    pids = up.pids
    node = next(process for process in up.state["processes"] if process["name"] == "node-1")
    os.killpg(node["pid"], signal.SIGSTOP)
    up.end(signal.SIGKILL)
    until(lambda: not any(lives(pid) for pid in pids), "everything has ended")
    assert not (up.folder / "cluster.json").exists()


def test_a_process_that_ends_is_reported(up: Up) -> None:
    node = next(process for process in up.state["processes"] if process["name"] == "node-2")
    os.killpg(node["pid"], signal.SIGKILL)
    until(lambda: "node-2 ended" in up.output.read_text(), "the news")
    assert Browser(up.state["url"]).get("/me").status == 200


def test_the_nodes_may_be_somebody_elses(tmp_path: Path) -> None:
    running = Up(tmp_path / "state", "--nodes", "2", "--node", "flask-session")
    try:
        assert "2 flask-session nodes, sessions in redis" in running.output.read_text()
        assert (running.state["node"], running.state["session_cookie"]) == ("flask-session", "session")
        browser = Browser(running.state["url"])
        assert browser.post("/login", {"user": "alice", "password": running.state["password"]}).status == 200
        assert {browser.get("/me").node for _ in range(4)} == {"node-1", "node-2"}
        assert browser.get("/me").json["user"] == "alice"
    finally:
        running.end(signal.SIGTERM)


def test_two_run_side_by_side_and_a_folder_holds_one(up: Up, tmp_path: Path) -> None:
    refused = run("--port", "0", "--state", str(up.folder))
    assert refused.returncode == 1
    assert f"in use by a cluster (pid {up.process.pid})" in refused.stderr
    other = Up(tmp_path / "other", "--nodes", "1", "--store", "memory")
    try:
        assert other.state["url"] != up.state["url"]
        assert Browser(other.state["url"]).get("/me").node == "node-1"
        assert Browser(up.state["url"]).get("/me").status == 200
    finally:
        other.end(signal.SIGTERM)


def test_it_is_ready_within_three_seconds_of_cpu_and_some_patience(tmp_path: Path) -> None:
    """Wall time is the machine's load; what the start itself costs is the processor time of all that it started."""
    started = time.monotonic()
    running = Up(tmp_path / "state")
    wall = time.monotonic() - started
    everyone = [psutil.Process(running.process.pid), *map(psutil.Process, running.pids)]
    spent = sum(sum(process.cpu_times()[:4]) for process in everyone)
    running.end(signal.SIGTERM)
    assert spent < 6, f"{spent:.1f} s of CPU, {wall:.1f} s in all"  # two cores: three seconds


def program(path: Path, says: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{says}'\necho '{says}' >&2\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "0"], "nodes must be between 1 and 100, not 0"),
        (["--nodes", "10000"], "not 10,000"),
        (["--workers", "0"], "workers must be between 1 and 32, not 0"),
        (["--store", "rdis"], "unknown store 'rdis': did you mean 'redis'?"),
        (["--store", "x"], "choose one of memory, file, sql, redis, redis-ha, redis-cluster, express"),
        (["--node", "expres"], "unknown kind of node 'expres': did you mean 'express'?"),
        (["--node", "express", "--store", "file"], "express nodes cannot keep sessions in file"),
        (["--balance", "round-robin"], "did you mean 'round_robin'?"),
        (["--port", "70000"], "not 70000"),
        (["--nginx", "/nowhere/nginx"], "no such file: /nowhere/nginx"),
        (["--nginx", "no-such-nginx"], "no 'no-such-nginx' in PATH"),
        (["--nginx", "./README.md"], "is not executable"),
        (["--nginx", "/bin/true"], "does not answer like nginx"),
        (["--store-server", "/nowhere/redis-server"], "no such file: /nowhere/redis-server"),
        (["--store-server", "no-such-server"], "no 'no-such-server' in PATH"),
        (["--store-server", "./README.md"], "is not executable"),
        (["--store-server", "/bin/true"], "is not a Redis or Valkey server"),
        (["--state", "/etc/hostname"], "is not a folder"),
        (["--state", "/etc"], "holds other things"),
        (["--state", "/proc/state"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_cluster(options: list[str], message: str) -> None:
    done = run("--port", "0", *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_servers_that_are_too_old_are_named_with_what_is_needed(tmp_path: Path) -> None:
    old_nginx = program(tmp_path / "nginx", "nginx version: nginx/1.14.2")
    assert "is nginx 1.14.2: too old" in run("--port", "0", "--nginx", old_nginx).stderr
    no_sticky = program(tmp_path / "nginx22", "nginx version: nginx/1.22.1")
    refused = run("--port", "0", "--balance", "sticky", "--nginx", no_sticky)
    assert "nginx 1.22.1 does not support balance sticky" in refused.stderr
    old_redis = program(tmp_path / "redis", "Redis server v=5.0.3 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64")
    assert "is version 5.0.3: too old, 6.2 or later" in run("--port", "0", "--store-server", old_redis).stderr


def test_a_port_that_is_taken_is_named_with_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run("--port", str(port))
    assert done.returncode == 1
    assert f"port {port} is taken by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
