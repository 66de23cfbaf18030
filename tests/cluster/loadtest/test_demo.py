"""Scenes of the demo on real clusters, as a user runs them."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import interrupt_command, run_command

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A short run of a scene that breaks and of one that does not."""
    path = tmp_path_factory.mktemp("demo") / "demo.json"
    done = run_command(
        "demo",
        *("--scene", "two-workers", "--scene", "redis-kill"),
        *("--users", "16", "--seconds", "3", "--json", str(path)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"All as predicted: \d+ of 32 users were logged out", done.stdout), "a loss is named beside it"
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
    words = ("demo", "--scene", "redis-kill", "--seconds", "60", "--json", record)
    status, rest, processes = interrupt_command(number, f": {when} (next", *words)
    assert status == 130
    assert "Stopped after 0 of 1 scenes; everything has been ended." in rest
    assert not record.exists()
    assert when == "starting" or processes >= 9, "the generator, nginx, three nodes, their workers, the store"
