"""A load without an end, whose history is checked while it grows; and the figures of its last minute."""

import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from loadtest.checker import Checker, Findings, PhaseFigures
from loadtest.checker.figures import Figures, is_failure, percentile
from loadtest.generator import Generator
from loadtest.history import Mark, Op, now
from loadtest.history_run import HistoryRun
from loadtest.load import LOAD
from loadtest.load_profile import LoadProfile
from loadtest.prober.client import Prober
from loadtest.runner import make_header, make_session_endpoint
from loadtest.target import Target

SECONDS_KEPT = 75
SECONDS_RECENT = 10
SECONDS_OF_NODES = 4
LATE = 2.0
"""Seconds until all operations of a moment have been read: the load writes its history twice a second."""
OLD = 10.0
"""Seconds after which findings are said to be old: on a busy machine they are renewed seldom."""
_SHARE = 0.01
"""Of one core, for the findings of the checker."""


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Operations of one node in the last SECONDS_OF_NODES. `failed` had no answer of it, or a 5xx."""

    rate: float
    failed: float
    p50: float


class Second(msgspec.Struct, frozen=True, array_like=True):
    """Operations of one second: good answers, failed ones, and those that found their user logged out."""

    ok: int
    failed: int
    logged_out: int


Found = TypeVar("Found")


@dataclass
class _Attempts:
    """Requests to one address in one second, with the seconds that answered ones took."""

    failed: int = 0
    times: list[float] = field(default_factory=list)


class Recent:
    """The operations of the last minute, by second. Times are seconds since the epoch.

    What is asked again within a second is not computed again.
    """

    def __init__(self) -> None:
        self._figures: dict[int, Figures] = defaultdict(Figures)
        self._counts: dict[int, Counter[bool]] = defaultdict(Counter)
        """By second: how many operations failed (True), and how many did not."""
        self._computed: dict[str, tuple[int, Any]] = {}
        self._attempts: dict[int, dict[str, _Attempts]] = defaultdict(lambda: defaultdict(_Attempts))
        self._logged_out: Mapping[int, int] = {}
        self.checked_until = 0
        """The checker has seen all operations before this second: whom later ones found logged out is not known yet."""

    def add(self, op: Op) -> None:
        second = int(op.ended)
        self._figures[second].add(op)
        self._counts[second][is_failure(op)] += 1
        tried = [address.strip() for address in op.upstream.split(",") if address.strip()]
        statuses = [status.strip() for status in op.upstream_status.split(",")]
        for number, address in enumerate(tried):
            attempts = self._attempts[second][address]
            status = statuses[number] if number < len(statuses) else ""
            if number < len(tried) - 1 or not status.isdecimal() or status >= "500" or is_failure(op):
                attempts.failed += 1
            else:
                attempts.times.append(op.ended - op.started)

    def take_logged_out(self, by_second: Mapping[int, int], until: float) -> None:
        """Take the checker's answers to users who were found logged out, all of those before `until`."""
        self._logged_out, self.checked_until = by_second, int(until)

    def forget(self, before: float) -> None:
        """Drop what is older."""
        for by_second in (self._figures, self._counts, self._attempts):
            for second in [one for one in by_second if one < before]:
                del by_second[second]

    def figures(self, end: float, seconds: int) -> PhaseFigures:
        """Return the figures of the `seconds` before `end`."""
        span = range(int(end) - seconds, int(end))
        parts = [self._figures[one] for one in span if one in self._figures]
        return self._once("figures", end, lambda: Figures.merge(parts).result(seconds))

    def series(self, begin: int, end: int) -> list[Second]:
        """Return each second from `begin` to before `end`."""
        return [self._second(second) for second in range(begin, end)]

    def nodes(self, end: float) -> dict[str, NodeFigures]:
        """Return the figures of each address that was tried in the last SECONDS_OF_NODES before `end`."""
        return self._once("nodes", end, lambda: self._count_nodes(end))

    def _once(self, name: str, end: float, compute: Callable[[], Found]) -> Found:
        known = self._computed.get(name)
        if known is None or known[0] != int(end):
            known = self._computed[name] = int(end), compute()
        found: Found = known[1]
        return found

    def _count_nodes(self, end: float) -> dict[str, NodeFigures]:
        found: dict[str, _Attempts] = defaultdict(_Attempts)
        for second in range(int(end) - SECONDS_OF_NODES, int(end)):
            for address, attempts in self._attempts.get(second, {}).items():
                found[address].failed += attempts.failed
                found[address].times += attempts.times
        return {
            address: NodeFigures(
                rate=round(len(attempts.times) / SECONDS_OF_NODES, 2),
                failed=round(attempts.failed / SECONDS_OF_NODES, 2),
                p50=round(percentile(attempts.times, 0.5) * 1000, 1) if attempts.times else 0.0,
            )
            for address, attempts in found.items()
        }

    def _second(self, second: int) -> Second:
        counts = self._counts.get(second, Counter())
        logged_out = self._logged_out.get(second, 0) if second < self.checked_until else 0
        return Second(counts[False] - logged_out, counts[True], logged_out)


class LiveLoad:
    """Virtual users and a prober on a target that runs, until the context manager is left.

    `folder` gets the history; with `keep` it is complete after `finish`, without it only its newest part is there: a
    console may run for days. `set_users`, `pause` and `resume` are for the director's
    thread, `sample` for the sampler's. Raises GeneratorError, ProberError, TargetError, HistoryError and OSError.
    """

    def __init__(self, target: Target, profile: LoadProfile, folder: Path, *, keep: bool = False) -> None:
        self.users = profile.users
        self.is_paused = False
        self.started = now()
        self.recent = Recent()
        self.findings: Findings = Checker().findings()
        self._folder = folder
        self._lock = threading.Lock()
        self._generator = Generator(profile, target, folder)
        header = make_header(target, profile, "console", self.started)
        self._history = HistoryRun(
            folder, header, self._generator.parts, watch=self.recent.add, share=_SHARE, keep=None if keep else 0
        )
        self._endpoint = make_session_endpoint(target)
        self._prober: Prober | None = Prober((self._endpoint,))
        self._open = contextlib.ExitStack()  # entered
        self._ended = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._history.remove_parts)
            stack.enter_context(self._generator)
            self._history.write(Mark(now(), LOAD))
            self._generator.start()
            assert self._prober is not None  # it is not paused
            stack.enter_context(self._prober)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        with self._lock:
            self._ended = True
            self._open.__exit__(*error)

    def set_users(self, users: int) -> None:
        """Change the number of users, which may be 0."""
        self._generator.set_users(users)
        self.users = users

    def pause(self) -> None:
        """Let the target rest: its users leave, and no probe is sent."""
        self._generator.set_users(0)
        self.is_paused = True
        prober = self._prober
        assert prober is not None
        prober.stop()  # not locked: with a store that is silent it takes seconds
        with self._lock:
            self._history.read(prober)
            self._prober = None

    def resume(self) -> None:
        """Undo `pause`: as many users as before log in."""
        prober = self._open.enter_context(Prober((self._endpoint,)))
        with self._lock:
            self._prober = prober
        self._generator.set_users(self.users)
        self.is_paused = False

    def mark(self, name: str) -> None:
        """Write a mark to the history: a fault is applied or undone."""
        self._history.write(Mark(now(), name))

    def sample(self) -> None:
        """Read what is new into `findings` and `recent`."""
        with self._lock:
            if self._ended:
                return
            self._generator.check()
            at = now()  # what the checker sees ended before
            findings = self._history.read(self._prober)
            if findings is not self.findings:
                self.findings = findings
                self.recent.take_logged_out(self._history.logged_out_at, at - LATE)
            self.recent.forget(at - SECONDS_KEPT)

    def finish(self) -> Findings:
        """Stop the users in order, and write the whole history to the folder. Needs `keep`."""
        with self._lock:
            self._ended = True
            if self._prober is not None:
                self._prober.stop()
            self._generator.stop()
            self.findings = self._history.finish(self._prober)
        return self.findings
