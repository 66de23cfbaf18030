"""A load that is shared by several processes: Locust's master here, its workers as processes of their own.

Locust's master deals the users out and has the page. What the users saw comes past it, over the workers' own pipes:
so every phase begins and ends in all of them at one time, and no figure waits for Locust's reports every three seconds.
"""

from loadtest.locust_setup import environment_of, serve_page

# isort: split
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gevent
import msgspec
from gevent import subprocess
from gevent.event import AsyncResult

from loadtest.figures import Figures, together
from loadtest.history import VERSION, Header, HistoryError, assemble, now, read
from loadtest.latency import latency
from loadtest.protocol import (
    Command,
    Entered,
    EnterPhase,
    Join,
    Progress,
    Result,
    Start,
    Stop,
    Worked,
    decode_report,
    encode,
)

START_TIMEOUT = 30.0
ANSWER_TIMEOUT = 20.0
_POLL = 0.02

Told = TypeVar("Told", Entered, Worked)


class Fleet:
    """The same as a `generate.Run`, by `start.workers` processes. It ends its process, in one line, if one is lost."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.environment = environment_of(start)
        self.runner = self.environment.create_master_runner("127.0.0.1", 0)
        if start.web is not None:
            serve_page(self.environment, start.web)
        joins = [
            Join(start=_part(start, number), master=self.runner.server.port, number=number) for number in _of(start)
        ]
        self.workers = [Worker(join) for join in joins]
        self._all(Entered, START_TIMEOUT)
        self._wait(lambda: len(self.runner.clients.ready) == start.workers, START_TIMEOUT)
        gevent.spawn(self.runner.start, start.users, spawn_rate=start.spawn_rate)

    def enter(self, phase: str) -> None:
        """Count in another phase."""
        self._tell(EnterPhase(phase))
        self._all(Entered, ANSWER_TIMEOUT)

    def progress(self) -> Progress:
        """The newest that each worker has said."""
        latest = [worker.progress for worker in self.workers if worker.progress is not None]
        if not latest:
            return Progress(0, Figures(phase=""))
        newest = [one.figures for one in latest if one.figures.phase == latest[-1].figures.phase]
        return Progress(sum(one.running for one in latest), together(newest))

    def stop(self) -> Result:
        """End the users; what was counted."""
        self._tell(Stop())
        worked = self._all(Worked, ANSWER_TIMEOUT)
        if self._start.history is not None:
            _assemble(self._start.history, self._start)
        counted = zip(*(one.counted for one in worked), strict=True)
        latencies = tuple(latency(one for part in phase for one in part) for phase in counted)
        phases = zip(*(one.phases for one in worked), strict=True)
        figures = tuple(
            together(parts, one.total.p50, one.total.p99) for parts, one in zip(phases, latencies, strict=True)
        )
        return Result(figures, latencies)

    def _tell(self, command: Command) -> None:
        for worker in self.workers:
            worker.tell(command)

    def _all(self, kind: type[Told], timeout: float) -> list[Told]:
        with gevent.Timeout(
            timeout, SystemExit(f"a worker of the load generator does not answer within {timeout:g} s")
        ):
            return [worker.wait_for(kind) for worker in self.workers]

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        with gevent.Timeout(timeout, SystemExit(f"not all workers have found Locust's master within {timeout:g} s")):
            while not condition():
                gevent.sleep(_POLL)


class Worker:
    """One process, which ends when this one does: its stdin ends then."""

    def __init__(self, join: Join) -> None:
        self.progress: Progress | None = None
        self._number = join.number
        self._answer: Any = AsyncResult()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.generate"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        gevent.spawn(self._listen)
        self.tell(join)

    def tell(self, command: Command) -> None:
        """What it is to do next."""
        self._answer = AsyncResult()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(encode(command) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            sys.exit(self._obituary())

    def wait_for(self, kind: type[Told]) -> Told:
        """The answer to the last command."""
        answer = self._answer.get()
        if not isinstance(answer, kind):
            sys.exit(self._obituary())
        return answer

    def _listen(self) -> None:
        worked = False
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                report = decode_report(line)
            except msgspec.DecodeError:
                break
            match report:
                case Progress():
                    self.progress = report
                case Entered() | Worked():
                    worked = isinstance(report, Worked)
                    self._answer.set(report)
        if not worked:
            sys.exit(self._obituary())

    def _obituary(self) -> str:
        return f"worker {self._number + 1} of the load generator ended early (exit {self._process.wait()})"


def _of(start: Start) -> range:
    return range(start.workers)


def _part(start: Start, number: int) -> Start:
    """A worker's share of the orders: its history has a file of its own, `HISTORY.part-1`."""
    history = None if start.history is None else part_of(start.history, number)
    return msgspec.structs.replace(start, history=history, web=None)


def part_of(history: str, number: int) -> str:
    """The path of a worker's history."""
    return f"{history}.part-{number + 1}"


def header_of(start: Start) -> Header:
    """The first line of a load's history."""
    load = {"url": start.url, "users": start.users, "wait": start.wait, "mix": start.mix.value}
    return Header(version=VERSION, title=start.mix.value, started=now(), cluster=load)


def _assemble(history: str, start: Start) -> None:
    """One file of the workers' own, which are removed."""
    parts = [part_of(history, number) for number in _of(start)]
    try:
        started = min(one.started for one in map(_first, parts))
        assemble(history, msgspec.structs.replace(header_of(start), started=started), *map(read, parts))
        for part in parts:
            Path(part).unlink()
    except (OSError, HistoryError) as error:
        sys.exit(f"the workers' histories cannot be put together: {error}")


def _first(part: str) -> Header:
    header = next(read(part))
    assert isinstance(header, Header)
    return header
