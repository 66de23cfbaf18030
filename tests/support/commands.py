"""`session-cluster` as a process of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.node import ROOT
from tests.support.waiting import lives, wait_until

COMMAND = (sys.executable, "-m", "session_cluster")


def run_command(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, on a terminal of 80 columns."""
    clean = {name: value for name, value in os.environ.items() if name != "CLUSTER_USERS_FILE"}
    environment = {**clean, "COLUMNS": "80", **environ}
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)


def interrupt_command(number: signal.Signals, line: str, *words: object) -> tuple[int, str, int]:
    """Send a signal once a line with this text is out. Return the exit status, the output after that line, and the
    number of processes that the command had; all of them have ended."""
    environment = {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
    command = [*COMMAND, *map(str, words)]
    with default_signals():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    with process:
        assert process.stdout is not None
        try:
            next(text for text in process.stdout if line in text)
            family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
            process.send_signal(number)
            rest = process.stdout.read()
            status = process.wait(timeout=40)
            wait_until(lambda: not lives(*family), "every process has ended")
        finally:
            process.kill()
    return status, rest, len(family)


@contextlib.contextmanager
def default_signals() -> Iterator[None]:
    """Set the default action of SIGINT and SIGHUP: tests in the background, or under nohup, and their children ignore
    them."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextlib.contextmanager
def running_console(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start the command; yield it and the address that it prints."""
    output = folder / "output"
    command = [*COMMAND, "console", "--port", "0", "--users", "10", "--out", str(folder / "out"), *options]
    with output.open("wb") as file, default_signals():
        environment = {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    with process:
        try:
            wait_until(lambda: "token=" in output.read_text() or process.poll() is not None, "the address", 30)
            assert process.poll() is None, output.read_text()
            yield process, re.findall(r"http://\S+", output.read_text())[0]
        finally:
            process.kill()
