"""The commands of the Docker engine: apart from the terminal, and ended with all of their processes."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from deploy import ClusterSpec, ComposeCluster, MemberState
from deploy.compose import docker
from deploy.compose.docker import Engine, Project
from deploy.signals import Interrupted, interruptible
from deploy.spec import ClusterError
from tests.support.waiting import lives, wait_until

WAITS = 'sleep 5 & echo "$!" > "$1.new"; mv "$1.new" "$1"; wait'
"""A command with a child, whose id it writes to a file."""
ONE_CONTAINER = """#!/bin/sh
cd "$(dirname "$0")"
case "$1 $(cat state)" in
ps*) echo id-1 ;;
inspect*) sed "s/STATE/$(cat state)/" inspected ;;
"unpause paused") echo running > state ;;
"kill running") echo exited > state ;;
*) echo "Cannot $1: container is $(cat state)" >&2; exit 1 ;;
esac
"""
"""An engine that kills its one container only while it runs."""


def test_a_command_has_no_part_in_the_signals_of_the_terminal() -> None:
    own, group = Engine().run(["sh", "-c", "echo $$; ps -o pgid= -p $$"], 10).split()
    assert own == group


def test_a_command_gets_its_input_and_its_last_line_says_why_it_failed() -> None:
    assert Engine().run(["cat", "-"], 10, b"text" * 50_000) == b"text" * 50_000
    with pytest.raises(ClusterError, match=r"^sh -c: no such container$"):
        Engine().run(["sh", "-c", "echo first >&2; echo no such container >&2; exit 3"], 10)
    with pytest.raises(ClusterError, match=r"^docker is not installed"):
        Engine().run(["/nowhere/docker", "ps"], 10)


def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(ClusterError, match=r"^`sh -c` did not end within 0.1 s$"):
        Engine().run(["sh", "-c", "sleep 5 & wait"], 0.1)


def test_a_command_that_is_interrupted_is_killed_with_its_children(tmp_path: Path) -> None:
    def interrupt() -> None:
        wait_until((tmp_path / "pid").exists, "it runs", 10)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted), interruptible():
        Engine().run(["sh", "-c", WAITS, "sh", str(tmp_path / "pid")], 10)
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not lives(child), "its child has ended", 2)


@pytest.mark.parametrize(("attempts", "message"), [(3, None), (None, "unable to freeze"), (0, "no such container")])
def test_a_container_that_cannot_be_frozen_is_paused_when_it_can_be(
    attempts: int | None, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`attempts` fail first, or all; a container that is not there is one line at once."""
    says = "no such container" if attempts == 0 else "OCI runtime pause failed: unable to freeze: unknown"
    stand_in, asked = tmp_path / "docker", tmp_path / "asked"
    last = f'[ "$(wc -l < {asked})" -gt {attempts} ]' if attempts else "false"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{last} && exit 0\necho "{says}" >&2\nexit 1\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(docker, "_SECONDS_TO_FREEZE", 10.0 if attempts else 0.3)
    if message is None:
        Engine().pause("store")
    else:
        with pytest.raises(ClusterError, match=message):
            Engine().pause("store")
    tried = asked.read_text().splitlines()
    assert set(tried) == {"pause store"}
    assert len(tried) == 4 if attempts else len(tried) == 1 if attempts == 0 else len(tried) > 1


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_member_is_killed_by_an_engine_that_kills_no_paused_container(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"com.docker.compose.service": "node", "com.docker.compose.container-number": "1"}
    node = {"Id": "id-1", "Name": "/node-1", "Config": {"Labels": labels}, "State": {"Status": "STATE", "Pid": 7}}
    (tmp_path / "inspected").write_text(json.dumps([{**node, "NetworkSettings": {"Networks": {}}}]))
    (tmp_path / "state").write_text(f"{state}\n")
    (tmp_path / "docker").write_text(ONE_CONTAINER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cluster = ComposeCluster(ClusterSpec(nodes=1))
    cluster._project = Project("shop", {}, {}, tmp_path)
    assert [str(one.state) for one in cluster.members()] == [state]
    cluster.kill("node-1")
    assert [one.state for one in cluster.members()] == [MemberState.ENDED]
