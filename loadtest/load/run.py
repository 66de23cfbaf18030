"""Runs a load: everybody arrives, then so many seconds count, then the history of it all is judged."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from loadtest.checker import Findings, check
from loadtest.checker.claims import FailedAtMost, NothingLost, rule
from loadtest.figures import Figures
from loadtest.history import read
from loadtest.load.plan import Plan
from loadtest.load.target import Target
from loadtest.old_generator import Generator, GeneratorError
from loadtest.progress import Status, Watch
from loadtest.protocol import Latency, Start
from loadtest.verdict import Ruling

ARRIVING, LOAD = "arriving", "load"
ARRIVAL_TIMEOUT = 60.0
POLL = 0.1
SLACK = 120.0
"""How much longer than it should the generator may take before it ends by itself."""


@dataclass(frozen=True)
class Outcome:
    """What came of a load. `arrival` and `load` are the ledger's figures, `latency` is Locust's of the load."""

    plan: Plan
    target: Target
    arrival: Figures
    load: Figures
    latency: Latency
    findings: Findings

    @property
    def lost(self) -> Ruling:
        """Whether anything of anybody's session was lost, arrival included."""
        return rule(self.findings, [NothingLost()])

    @property
    def failed(self) -> Ruling:
        """Whether any request failed."""
        return rule(self.findings, [FailedAtMost(0)])


def run(plan: Plan, target: AbstractContextManager[Target], history: Path, title: str, watch: Watch) -> Outcome:
    """Raises ClusterError, GeneratorError, HistoryError or TargetError; nothing is left running, whatever happens.

    `history` is where the history is written to; `title` is what progress calls it.
    """
    status = Status(title, 1, 1)
    watch(status)
    with Generator() as generator, target as found:
        found.check()
        arrival, load = measure(plan, found, generator, history, status, watch, lambda: None)
    status.turn("judging")
    watch(status)
    latency = generator.latencies[-1]
    return Outcome(plan, found, arrival, load, latency, check(read(history)))


def measure(
    plan: Plan,
    target: Target,
    generator: Generator,
    history: Path | None,
    status: Status,
    watch: Watch,
    mark: Callable[[], None],
) -> tuple[Figures, Figures]:
    """The figures of the arrival and of the load. `mark` is called when the load begins to count, and when it ends."""
    generator.start(
        Start(
            url=target.url,
            accounts=dict(target.accounts),
            users=plan.users,
            spawn_rate=plan.spawn_rate,
            phase=ARRIVING,
            wait=plan.wait,
            time_limit=plan.users / plan.spawn_rate + ARRIVAL_TIMEOUT + plan.seconds + SLACK,
            cookie=target.cookie,
            mix=plan.mix,
            weights=plan.weights,
            workers=plan.workers,
            web=plan.web,
            history=None if history is None else str(history),
            authority=None if target.authority is None else str(target.authority),
            insecure=target.insecure,
        )
    )
    status.turn(ARRIVING, LOAD)
    _arrive(plan, generator, status, watch)
    generator.enter(LOAD)
    mark()
    status.turn(LOAD, "judging", plan.seconds)
    while time.monotonic() < status.ends:
        _look(generator, status, watch)
    mark()
    status.turn("stopping")
    arrival, load = generator.stop()
    return arrival, load


def _arrive(plan: Plan, generator: Generator, status: Status, watch: Watch) -> None:
    """Wait until all users are there and have had an answer, however slow the target is, within reason."""
    seconds = plan.users / plan.spawn_rate + ARRIVAL_TIMEOUT
    deadline = time.monotonic() + seconds
    while generator.progress is None or min(generator.progress.running, generator.progress.figures.users) < plan.users:
        if time.monotonic() > deadline:
            raise GeneratorError(f"not all of the {plan.users} users could log in within {seconds:.0f} s")
        _look(generator, status, watch)


def _look(generator: Generator, status: Status, watch: Watch) -> None:
    generator.check()
    status.progress = generator.progress
    watch(status)
    time.sleep(POLL)
