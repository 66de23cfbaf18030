"""The load generator's process: `python -m loadtest.generate` runs Locust as a library, as it is told on stdin.

It ends when it is told to stop, when stdin ends (whoever started it is gone), and at the latest after the time limit of
its Start. `loadtest.generator` is the other end of the pipes.
"""

# Locust patches the standard library for gevent when it is imported, so it comes first.
from locust import between
from locust.env import Environment
from locust.stats import RequestStats

# isort: split
import sys
import time
from typing import Any

import gevent
import msgspec
from gevent.fileobject import FileObject

from loadtest.figures import Figures, Tally
from loadtest.history import VERSION, Header, Mark, Note, Writer, now
from loadtest.observation import Observation
from loadtest.protocol import (
    Entered,
    EnterPhase,
    Mix,
    Progress,
    Ready,
    Report,
    Result,
    Start,
    Stop,
    decode_command,
    encode,
)
from loadtest.recording import op_of
from loadtest.tabs import LogoutRacer, SharedWriter
from loadtest.users import Leaver, Load, SessionUser, Shopper, Visitor

PROGRESS_INTERVAL = 0.5
USERS: dict[Mix, list[Any]] = {
    Mix.EVERYDAY: [Visitor, Shopper, Leaver],
    Mix.SHARED_WRITERS: [SharedWriter],
    Mix.LOGOUT_RACE: [LogoutRacer],
}
STOP_TIMEOUT = 5.0  # requests in flight may end, so that the last figures are no artefact of stopping


class Phase:
    """What is counted between two commands: the ledger's figures by our tally, latency by Locust's statistics."""

    def __init__(self, name: str, environment: Any) -> None:
        self.tally = Tally(name)
        self.stats = environment.stats = RequestStats()
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._ended: tuple[float, float] | None = None

    def end(self) -> None:
        self._ended = self._ended or self._elapsed()

    def _elapsed(self) -> tuple[float, float]:
        return time.monotonic() - self._began, time.process_time() - self._cpu_began

    def figures(self) -> Figures:
        seconds, cpu = self._ended or self._elapsed()
        total = self.stats.total
        return self.tally.figures(
            seconds,
            p50=total.get_response_time_percentile(0.5),
            p99=total.get_response_time_percentile(0.99),
            generator_cpu=cpu / seconds if seconds else 0.0,
        )


class Run:
    """One load test: users on a cluster, phase after phase."""

    def __init__(self, start: Start) -> None:
        SessionUser.wait_time = between(*start.wait)
        self.environment = Environment(user_classes=USERS[start.mix], host=start.url, stop_timeout=STOP_TIMEOUT)
        self.history = _history(start)
        Load(start.accounts, self._record, start.cookie, self._write).attach(self.environment)
        self.phases: list[Phase] = []
        self.enter(start.phase)
        self.runner = self.environment.create_local_runner()
        self.runner.start(start.users, spawn_rate=start.spawn_rate)

    def _record(self, observation: Observation) -> None:
        self.phases[-1].tally.record(observation)
        self._write(observation)

    def _write(self, observation: Observation) -> None:
        if self.history is not None:
            self.history.write(op_of(observation))

    def enter(self, phase: str) -> None:
        if self.phases:
            self.phases[-1].end()
        self.phases.append(Phase(phase, self.environment))
        self._mark(phase)

    def progress(self) -> Progress:
        progress = Progress(self.runner.user_count, self.phases[-1].figures())
        if self.history is not None:
            figures = {"users": progress.running, "generator_cpu": progress.figures.generator_cpu}
            self.history.write(Note(now(), "generator", figures))
            self.history.flush()
        return progress

    def stop(self) -> Result:
        self.phases[-1].end()
        self._mark("end")
        self.runner.stop()
        for error in self.runner.exceptions.values():
            sys.exit(f"a virtual user failed, so the figures are incomplete: {error['msg']}\n{error['traceback']}")
        if self.history is not None:
            self.history.close()
        return Result(tuple(phase.figures() for phase in self.phases))

    def _mark(self, name: str) -> None:
        if self.history is not None:
            self.history.write(Mark(now(), name))


def _history(start: Start) -> Writer | None:
    if start.history is None:
        return None
    load = {"url": start.url, "users": start.users, "wait": start.wait, "mix": start.mix.value}
    try:
        return Writer(start.history, Header(version=VERSION, title=start.mix.value, started=now(), cluster=load))
    except OSError as error:
        sys.exit(f"cannot write the history {start.history}: {error.strerror}")


def report(message: Report) -> None:
    sys.stdout.buffer.write(encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _keep_reporting(run: Run) -> None:
    while True:
        gevent.sleep(PROGRESS_INTERVAL)
        report(run.progress())


def obey(commands: Any) -> None:
    """Carry out commands, line by line, until Stop or the end of the input."""
    run: Run | None = None
    for line in commands:
        match decode_command(line):
            case Start() as start if run is None:
                # gevent hands a SystemExit on to the main greenlet, wherever that is waiting.
                gevent.spawn_later(start.time_limit, sys.exit, f"ended after {start.time_limit:g} s, its time limit")
                run = Run(start)
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
