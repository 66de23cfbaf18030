"""The commands of the Docker engine: apart from the terminal, and ended with all of their processes."""

import os
import signal
import threading
from pathlib import Path

import pytest

from deploy.compose.docker import Engine
from deploy.signals import Interrupted, interruptible
from deploy.spec import ClusterError
from tests.support.waiting import lives, wait_until

WAITS = 'sleep 5 & echo "$!" > "$1.new"; mv "$1.new" "$1"; wait'
"""A command with a child, whose id it writes to a file."""


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
