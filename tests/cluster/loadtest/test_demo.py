"""Scenes of the demo on real clusters, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.node import ROOT
from tests.support.signals import default_sigint
from tests.support.waiting import lives, wait_until

COMMAND = [sys.executable, str(ROOT / "session_cluster.py"), "demo"]


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A short run of a scene that breaks and of one that does not."""
    path = tmp_path_factory.mktemp("demo") / "demo.json"
    done = demo(
        *("--scene", "two-workers", "--scene", "redis-kill"),
        *("--users", "16", "--seconds", "3", "--json", str(path)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "As expected" in done.stdout
    return {scene["name"]: scene for scene in json.loads(path.read_text())["scenes"]}


def test_two_workers_without_a_shared_store_lose_up_to_half_of_the_requests(scenes: dict[str, Any]) -> None:
    (steady,) = scenes["two-workers"]["phases"][1:]
    assert 0.08 <= steady["share_logged_out"] < 0.7
    assert steady["users_logged_out"] > 8


def test_a_killed_node_logs_no_user_out_where_the_store_is_shared(scenes: dict[str, Any]) -> None:
    steady, killed = scenes["redis-kill"]["phases"][1:]
    assert steady["logged_out"] == killed["logged_out"] == killed["failed_gets"] == 0
    assert killed["retried"] > 0, "the proxy has met the dead node and asked another"
    assert steady["nodes"].keys() == {"node-1", "node-2", "node-3"}


@pytest.mark.parametrize(("number", "when"), [(signal.SIGINT, "steady"), (signal.SIGTERM, "starting")])
def test_a_signal_stops_the_demo_and_leaves_nothing_running(number: signal.Signals, when: str, tmp_path: Path) -> None:
    record = tmp_path / "demo.json"
    command = [*COMMAND, "--scene", "redis-kill", "--seconds", "60", "--json", str(record)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with default_sigint():
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if f": {when} (next" in line:
                break
        family = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(number)
        rest = running.stdout.read()
    assert running.returncode == 130
    assert "Stopped after 0 of 1 scenes; everything has been ended." in rest
    assert not record.exists()
    assert when == "starting" or len(family) >= 9, "the generator, nginx, three nodes, their workers, the store"
    wait_until(lambda: not lives(*(process.pid for process in family)), "every process has ended")
