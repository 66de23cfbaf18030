"""The load generator as the rest of the program sees it: a process that is told what to do and reports figures."""

import queue
import threading
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from loadtest.child import Child
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
        self._child = Child("loadtest.generate")
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
        if kind is not None:
            self._child.kill()
        self._child.end(ANSWER_TIMEOUT)
        self._reader.join()
        self._child.close()

    @property
    def pid(self) -> int:
        return self._child.pid

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
        if self._child.code is not None:
            raise GeneratorError(self._obituary())

    def stop(self) -> tuple[Figures, ...]:
        """End the users; the figures of each phase. Raises GeneratorError."""
        self._tell(Stop())
        result = self._await(Result, STOP_TIMEOUT)
        self.latencies = result.latencies
        return result.phases

    def _tell(self, command: Command) -> None:
        try:
            self._child.tell(encode(command))
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
        try:
            for line in self._child.lines():
                report: Report = decode_report(line)
                match report:
                    case Progress():
                        self._progress = report
                    case Ready() | Entered() | Result():
                        self._reports.put(report)
        except msgspec.DecodeError:
            self._child.kill()  # whatever speaks there is no load generator
        self._reports.put(None)

    def _obituary(self) -> str:
        return f"the load generator {self._child.obituary()}"
