"""The load generator's process: `python -m loadtest.generate` runs Locust as a library, as it is told on stdin.

It ends when it is told to stop, when stdin ends (whoever started it is gone), and at the latest after the time limit of
its Start. `loadtest.old_generator` is the other end of the pipes.
"""

# It brings Locust along, which patches the standard library for gevent when it is imported, so it comes first.
from loadtest.locust_setup import environment_of, serve_page

# isort: split
import sys
import time
from typing import Any

import gevent
import msgspec
from gevent.fileobject import FileObject

from loadtest.figures import Figures, Tally
from loadtest.fleet import Fleet, header_of
from loadtest.history import Mark, Note, Writer, now
from loadtest.latency import Statistics, latency
from loadtest.observation import Observation
from loadtest.old_users import Load
from loadtest.protocol import (
    Entered,
    EnterPhase,
    Join,
    Progress,
    Ready,
    Report,
    Result,
    Start,
    Stop,
    Worked,
    decode_command,
    encode,
)
from loadtest.recording import op_of

PROGRESS_INTERVAL = 0.5


class Phase:
    """What is counted between two commands: the ledger's figures by our tally, latency by Locust's statistics."""

    def __init__(self, name: str) -> None:
        self.tally = Tally(name)
        self.statistics = Statistics()
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._ended: tuple[float, float] | None = None

    def end(self) -> None:
        self._ended = self._ended or self._elapsed()

    def _elapsed(self) -> tuple[float, float]:
        return time.monotonic() - self._began, time.process_time() - self._cpu_began

    def figures(self) -> Figures:
        seconds, cpu = self._ended or self._elapsed()
        return self.tally.figures(
            seconds,
            p50=self.statistics.percentile(0.5),
            p99=self.statistics.percentile(0.99),
            generator_cpu=cpu / seconds if seconds else 0.0,
        )


class Run:
    """One load test: users on a cluster, phase after phase. `join` says which part of it this process has; None: all.

    Locust's own statistics are its page's, and count from the beginning.
    """

    def __init__(self, start: Start, join: Join | None = None) -> None:
        self.join = join
        self.environment = environment_of(start)
        self.environment.events.request.add_listener(self._count)
        self.history = _history(start)
        number = join.number if join else 0
        Load(start.accounts, self._record, start.cookie, self._write, number, start.workers).attach(self.environment)
        self.phases: list[Phase] = []
        self.enter(start.phase)
        if join is not None:
            self.runner = self.environment.create_worker_runner("127.0.0.1", join.master)
            return
        self.runner = self.environment.create_local_runner()
        if start.web is not None:
            serve_page(self.environment, start.web)
        self.runner.start(start.users, spawn_rate=start.spawn_rate)

    def _count(
        self,
        request_type: str,
        name: str,
        response_time: float,
        response_length: int,
        exception: BaseException | str | None = None,
        **_: Any,
    ) -> None:
        self.phases[-1].statistics.count(request_type, name, response_time, response_length, exception)

    def _record(self, observation: Observation) -> None:
        self.phases[-1].tally.record(observation)
        self._write(observation)

    def _write(self, observation: Observation) -> None:
        if self.history is not None:
            self.history.write(op_of(observation))

    def enter(self, phase: str) -> None:
        if self.phases:
            self.phases[-1].end()
        self.phases.append(Phase(phase))
        self._mark(phase)

    def progress(self) -> Progress:
        progress = Progress(self.runner.user_count, self.phases[-1].figures())
        if self.history is not None:
            figures = {"users": progress.running, "generator_cpu": progress.figures.generator_cpu}
            self.history.write(Note(now(), "generator", figures))
            self.history.flush()
        return progress

    def stop(self) -> Result | Worked:
        """End the users; what was counted, as a worker says it if this is one."""
        self.phases[-1].end()
        self._mark("end")
        self.runner.stop()
        for error in self.runner.exceptions.values():
            sys.exit(f"a virtual user failed, so the figures are incomplete: {error['msg']}\n{error['traceback']}")
        if self.history is not None:
            self.history.close()
        figures = tuple(phase.figures() for phase in self.phases)
        counted = tuple(phase.statistics.counted() for phase in self.phases)
        return Worked(figures, counted) if self.join else Result(figures, tuple(map(latency, counted)))

    def _mark(self, name: str) -> None:
        if self.history is not None and (self.join is None or self.join.number == 0):  # of several workers, once
            self.history.write(Mark(now(), name))


def _history(start: Start) -> Writer | None:
    if start.history is None:
        return None
    try:
        return Writer(start.history, header_of(start))
    except OSError as error:
        sys.exit(f"cannot write the history {start.history}: {error.strerror}")


def report(message: Report) -> None:
    sys.stdout.buffer.write(encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _keep_reporting(run: Run | Fleet) -> None:
    while True:
        gevent.sleep(PROGRESS_INTERVAL)
        report(run.progress())


def obey(commands: Any) -> None:
    """Carry out commands, line by line, until Stop or the end of the input."""
    run: Run | Fleet | None = None
    for line in commands:
        match decode_command(line):
            case Start() as start if run is None:
                _limit(start)
                run = Fleet(start) if start.workers > 1 else Run(start)
                gevent.spawn(_keep_reporting, run)
                report(Entered(start.phase))
            case Join(start=start) as join if run is None:
                _limit(start)
                run = Run(start, join)
                gevent.spawn(_keep_reporting, run)
                report(Entered(start.phase))
            case EnterPhase(phase) if run is not None:
                run.enter(phase)
                report(Entered(phase))
            case Stop() if run is not None:
                report(run.stop())
                return
            case command:
                sys.exit(f"{command!r} makes no sense now")


def _limit(start: Start) -> None:
    # gevent hands a SystemExit on to the main greenlet, wherever that is waiting.
    gevent.spawn_later(start.time_limit, sys.exit, f"ended after {start.time_limit:g} s, its time limit")


def main() -> None:
    report(Ready())
    try:
        obey(FileObject(sys.stdin.fileno(), "rb", closefd=False))
    except msgspec.DecodeError as error:
        sys.exit(f"not a command: {error}")
    except BrokenPipeError:
        sys.exit("nobody reads the reports any more")


if __name__ == "__main__":
    main()
