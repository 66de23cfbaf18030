"""`session-cluster console --on compose`: the page's commands reach containers, and Ctrl-C leaves none."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import running_console
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.alone]


def ask(address: str, path: str, order: dict[str, str] | None = None) -> Any:
    place, _, token = address.partition("?token=")
    data = None if order is None else json.dumps(order).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(place + path, data, headers), timeout=20) as answer:
        return json.load(answer)


LABEL = "com.docker.compose.project"


def docker(*words: str) -> list[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.split()


def project_of(pid: int) -> str:
    """Return the compose project of the container with this first process."""
    listed = docker(
        "inspect", "--format", '{{.State.Pid}},{{index .Config.Labels "' + LABEL + '"}}', *docker("ps", "-q")
    )
    return dict(line.split(",") for line in listed)[str(pid)]


def test_a_container_is_killed_and_restarted_while_users_stay_logged_in(tmp_path: Path) -> None:
    with running_console(tmp_path, "--on", "compose", "--nodes", "2") as (process, address):

        def state(name: str) -> str:
            members = ask(address, "state")["members"]
            return next((one["state"] for one in members if one["name"] == name), "")

        def operations() -> int:
            figures = ask(address, "state")["figures"]
            return figures["operations"] if figures else 0

        wait_until(lambda: operations() > 50, "the load has arrived", 110)
        assert any("node-2" in line for line in ask(address, "members/node-2/log")["lines"])
        project = project_of(next(one["pid"] for one in ask(address, "state")["members"] if one["name"] == "node-1"))
        ask(address, "commands", {"do": "kill", "on": "node-2"})
        wait_until(lambda: state("node-2") == "ended", "the node has ended", 20)
        seen = operations()
        wait_until(lambda: operations() > seen + 50, "users go on", 40)
        ask(address, "commands", {"do": "undo"})
        wait_until(lambda: state("node-2") == "running", "the node is back", 60)
        assert ask(address, "state")["figures"]["users_logged_out"] == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={project}") == []
