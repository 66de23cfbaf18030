"""`session-cluster console --on compose`: the page's commands reach containers, and Ctrl-C leaves none."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import running_console
from tests.support.console_client import ConsoleClient
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.alone]


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
        console = ConsoleClient(address)

        def state(name: str) -> str:
            return str(console.member(name)["state"])

        wait_until(lambda: console.operations() > 50, "the load has arrived", 110)
        assert any("node-2" in line for line in console.ask("members/node-2/log")["lines"])
        project = project_of(console.member("node-1")["pid"])
        console.assert_session_works("node-1", "node-2")
        console.ask("commands", {"do": "kill", "on": "node-2"})
        wait_until(lambda: state("node-2") == "ended", "the node has ended", 20)
        seen = console.operations()
        wait_until(lambda: console.operations() > seen + 50, "users go on", 40)
        console.assert_session_works("node-1")
        console.ask("commands", {"do": "undo"})
        wait_until(lambda: state("node-2") == "running", "the node is back", 60)
        assert console.state()["figures"]["users_logged_out"] == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={project}") == []
