"""The load generator as the rest of the program sees it: a process that is told what to do and reports figures."""

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from loadtest.figures import Figures
from loadtest.protocol import (
    Command,
    Entered,
    EnterPhase,
    Latency,
    Progress,
    Ready,
    Report,
    Result,
    Start,
    Stop,
    decode_report,
    encode,
)

START_TIMEOUT = 30.0  # Locust and gevent take about a second to load, more on a busy machine
ANSWER_TIMEOUT = 10.0
STOP_TIMEOUT = 30.0  # requests in flight end first; the longest the proxy lets one take is 15 s

Awaited = TypeVar("Awaited", Ready, Entered, Result)


class GeneratorError(Exception):
    """The load generator did not start, ended too early or does not answer; the message is one line."""


class Generator:
    """A context manager: the process starts when it is entered and is gone when it is left.

    Loading Locust takes a second, so enter it before the cluster is started, and call `start` when that is ready.
    """

    def __enter__(self) -> Self:
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._stderr = tempfile.TemporaryFile()  # closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.generate"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
            # Its own session: Ctrl-C at the terminal is for the command, which ends the generator in its own order.
            start_new_session=True,
        )
        self._progress: Progress | None = None
        self.latencies: tuple[Latency, ...] = ()
        """Locust's statistics of each phase, once it has been stopped."""
        self._reports: queue.Queue[Ready | Entered | Result | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        if kind is not None:
            self._process.kill()
        try:
            self._process.wait(timeout=ANSWER_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def progress(self) -> Progress | None:
        """The latest figures, at most half a second old; None before the first."""
        return self._progress

    def start(self, command: Start) -> None:
        """Let the users loose. Raises GeneratorError."""
        self._await(Ready, START_TIMEOUT)
        self._tell(command)
        self._await(Entered, ANSWER_TIMEOUT if command.workers == 1 else 2 * START_TIMEOUT)

    def enter(self, phase: str) -> None:
        """Count in another phase; requests that end after this returns belong to it. Raises GeneratorError."""
        self._tell(EnterPhase(phase))
        self._await(Entered, ANSWER_TIMEOUT)

    def check(self) -> None:
        """Raise GeneratorError if the process has ended."""
        if self._process.poll() is not None:
            raise GeneratorError(self._obituary())

    def stop(self) -> tuple[Figures, ...]:
        """End the users; the figures of each phase. Raises GeneratorError."""
        self._tell(Stop())
        result = self._await(Result, STOP_TIMEOUT)
        self.latencies = result.latencies
        return result.phases

    def _tell(self, command: Command) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(command) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise GeneratorError(self._obituary()) from error

    def _await(self, kind: type[Awaited], timeout: float) -> Awaited:
        try:
            report = self._reports.get(timeout=timeout)
        except queue.Empty as error:
            raise GeneratorError(f"the load generator does not answer within {timeout:g} s") from error
        if not isinstance(report, kind):
            raise GeneratorError(self._obituary())
        return report

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                report: Report = decode_report(line)
                match report:
                    case Progress():
                        self._progress = report
                    case Ready() | Entered() | Result():
                        self._reports.put(report)
        except msgspec.DecodeError:
            self._process.kill()  # whatever speaks there is no load generator
        self._reports.put(None)

    def _obituary(self) -> str:
        self._process.kill()
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the load generator ended early (exit {code}): {last or 'it said nothing'}"
