"""Operations and evidence counted, for a phase or a whole run, in memory that does not grow with their number."""

import math
from array import array
from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import add, itemgetter
from typing import Self

from loadtest.checker.account import ENDS_OTHERS
from loadtest.checker.findings import Evidence, Kind, PhaseFigures, Row
from loadtest.checker.session import added
from loadtest.history import GAVE_UP, STOPPED, Action, Note, Op, OpOutcome

CPU = "generator_cpu"
_BY_CLIENT = frozenset({STOPPED, GAVE_UP})
EXAMPLES = 10
"""Evidence of each kind that the findings name."""
SECONDS_KEPT = 120
"""Answers to users who were found logged out are counted by second as long as this before the newest of them."""


def percentile(values: Iterable[float], share: float) -> float:
    """Return the least value that at least this share (0 to 1) stays within; NaN for no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass(slots=True)
class Histogram:
    """Durations, rounded up to three significant digits of microseconds: a percentile is at most 1 % too high.

    It takes 22 kB for durations up to 10 s, however many: a long run has one for each phase and kind of request.
    """

    count: int = 0
    _counts: "array[int]" = field(default_factory=lambda: array("I"))  # by bucket, up to that of the largest
    _largest: float = 0.0

    def add(self, seconds: float) -> None:
        bucket = _to_bucket(round(seconds * 1e6))
        self._reserve(bucket + 1)
        self.count += 1
        self._counts[bucket] += 1
        self._largest = max(self._largest, seconds)

    def merge(self, other: "Histogram") -> None:
        self._reserve(len(other._counts))
        self.count += other.count
        size = len(other._counts)
        self._counts[:size] = array("I", map(add, self._counts, other._counts))
        self._largest = max(self._largest, other._largest)

    def percentiles(self, *shares: float) -> list[float]:
        """Return for each share (0 to 1) the least time in ms that at least this share stays within; 0 of none."""
        result = []
        steps = filter(itemgetter(1), enumerate(self._counts))
        bucket = within = 0
        for share in shares:
            rank = max(math.ceil(share * self.count), 1)
            while within < rank and (step := next(steps, None)) is not None:
                bucket, within = step[0], within + step[1]
            result.append(round(min(_to_microseconds(bucket) / 1000, self._largest * 1000), 3))
        return result

    @property
    def largest(self) -> float:
        """The greatest of all, in ms and not rounded up."""
        return round(self._largest * 1000, 3)

    def _reserve(self, buckets: int) -> None:
        if (lacking := buckets - len(self._counts)) > 0:
            self._counts.frombytes(bytes(lacking * self._counts.itemsize))


def _to_bucket(microseconds: int) -> int:
    """Return the number of the bucket of a duration: one each up to 1,000 us, and 900 for each power of ten above."""
    if microseconds < 1000:
        return microseconds
    power = len(str(microseconds)) - 3
    step: int = 10**power
    return 1000 + 900 * (power - 1) + -(-microseconds // step) - 100


def _to_microseconds(bucket: int) -> int:
    """Return the longest duration in a bucket."""
    if bucket < 1000:
        return bucket
    power, step = divmod(bucket - 1000, 900)
    return int((step + 100) * 10 ** (power + 1))


def is_failure(op: Op) -> bool:
    """Return whether the service failed, as HTTP.

    A write that was refused with good reason is not a failure, nor is a request that its own client gave up.
    """
    return op.error not in _BY_CLIENT and (op.outcome is OpOutcome.UNKNOWN or op.error != "")


def _user(who: str) -> str:
    """Return the user; `who` may be one tab of its browser."""
    return who.partition("/")[0]


@dataclass(slots=True)
class _Request:
    """The operations of one method and path."""

    failed: int = 0
    times: Histogram = field(default_factory=Histogram)


@dataclass
class Figures:
    """Counts operations, the answers that tell who is logged in, and the evidence that answers give."""

    found: Counter[Kind] = field(default_factory=Counter)
    users_lost: set[str] = field(default_factory=set)
    """Users who lost a session at least once."""
    logged_out_at: Counter[int] = field(default_factory=Counter)
    """Answers to users who were found logged out, by the second (since the epoch) in which they ended."""
    _counts: Counter[str] = field(default_factory=Counter)  # by field of PhaseFigures
    _failures: Counter[str] = field(default_factory=Counter)
    _nodes: Counter[str] = field(default_factory=Counter)
    _users: set[str] = field(default_factory=set)
    _users_logged_out: set[str] = field(default_factory=set)
    _examples: dict[Kind, list[Evidence]] = field(default_factory=dict)
    _requests: dict[tuple[str, str], _Request] = field(default_factory=dict)
    _cpu: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By process: the sum of its notes, and how many there are."""

    def add(self, event: Op | Note) -> None:
        """Count an operation, or what the load generator notes of itself."""
        if isinstance(event, Note):
            if CPU in event.figures:
                self._add_cpu(event.text, event.figures[CPU], 1)
            return
        request = self._requests.get((event.method, event.path))
        if request is None:
            request = self._requests[event.method, event.path] = _Request()
        request.times.add(event.ended - event.started)
        self._users.add(_user(event.who))
        if event.outcome is OpOutcome.OK:
            self._counts["ok"] += 1
            self._counts["updates"] += added(event)[1]
            self._counts["logouts"] += event.action is Action.LOGOUT
            self._counts["ends_of_others"] += event.action in ENDS_OTHERS
        if event.action is Action.LOGIN:
            self._counts["logins"] += 1
        if event.shed:
            self._counts["shed"] += 1
        self._counts["proxied"] += event.upstream_status != ""
        self._counts["retried"] += "," in event.upstream_status
        if event.node:
            self._nodes[event.node] += 1
        if is_failure(event):
            request.failed += 1
            self._counts["failed_gets" if event.method == "GET" else "failed_writes"] += 1
            if event.outcome is not OpOutcome.OK:
                self._counts[event.outcome] += 1
            self._failures[f"{event.method} {event.path}: {event.error or event.outcome}"] += 1

    def _add_cpu(self, process: str, total: float, notes: float) -> None:
        known = self._cpu.get(process, (0.0, 0))
        self._cpu[process] = (known[0] + total, known[1] + notes)

    def tell(self, op: Op, *, anonymous: bool) -> None:
        """Count an answer that shows whether a user is logged in who must be."""
        self.tell_right(1)
        if anonymous:
            self._counts["logged_out"] += 1
            self._users_logged_out.add(_user(op.who))
            self._count_at(int(op.ended), 1)

    def tell_right(self, count: int) -> None:
        """Count answers that show whether a user is logged in who must be, and is."""
        self._counts["as_logged_in"] += count

    def _count_at(self, second: int, count: int) -> None:
        is_new = second not in self.logged_out_at
        self.logged_out_at[second] += count
        if is_new:
            oldest = max(self.logged_out_at) - SECONDS_KEPT
            for old in [one for one in self.logged_out_at if one < oldest]:
                del self.logged_out_at[old]

    def find(self, evidence: Evidence) -> None:
        """Count evidence, which comes in any order."""
        self.found[evidence.kind] += evidence.count
        if evidence.kind is Kind.SESSION_LOST:
            self.users_lost.add(_user(evidence.who))
        self._add_example(evidence)

    def _add_example(self, evidence: Evidence) -> None:
        examples = self._examples.setdefault(evidence.kind, [])
        insort(examples, evidence, key=lambda one: one.at)
        del examples[EXAMPLES:]

    @property
    def examples(self) -> dict[Kind, tuple[Evidence, ...]]:
        """The earliest of each kind that was found."""
        return {kind: tuple(self._examples[kind]) for kind in Kind if kind in self._examples}

    @classmethod
    def merge(cls, parts: Iterable["Figures"]) -> Self:
        result = cls()
        for part in parts:
            result.include(part)
        return result

    def include(self, part: "Figures") -> None:
        """Add the figures of another part of the run."""
        self.found.update(part.found)
        self.users_lost |= part.users_lost
        for examples in part._examples.values():
            for evidence in examples:
                self._add_example(evidence)
        for second, count in part.logged_out_at.items():
            self._count_at(second, count)
        self._counts.update(part._counts)
        self._failures.update(part._failures)
        self._nodes.update(part._nodes)
        for process, (total, notes) in part._cpu.items():
            self._add_cpu(process, total, notes)
        self._users |= part._users
        self._users_logged_out |= part._users_logged_out
        for key, request in part._requests.items():
            own = self._requests.setdefault(key, _Request())
            own.failed += request.failed
            own.times.merge(request.times)

    def result(self, seconds: float) -> PhaseFigures:
        """Return the figures of a phase that took so long."""
        times = Histogram()
        for request in self._requests.values():
            times.merge(request.times)
        p50, p90, p99, p999 = times.percentiles(0.5, 0.9, 0.99, 0.999)
        return PhaseFigures(
            seconds=round(seconds, 3),
            users=len(self._users),
            operations=times.count,
            failed=self._counts["failed_gets"] + self._counts["failed_writes"],
            failures=dict(sorted(self._failures.items())),
            users_logged_out=len(self._users_logged_out),
            nodes=dict(sorted(self._nodes.items())),
            found=dict(sorted(self.found.items())),
            p50=p50,
            p90=p90,
            p99=p99,
            p999=p999,
            slowest=times.largest,
            generator_cpu=round(max((total / notes for total, notes in self._cpu.values()), default=0.0), 3),
            rows=tuple(_row(*key, request) for key, request in sorted(self._requests.items(), key=_by_path)),
            **{name: self._counts[name] for name in _COUNTS},
        )


@dataclass
class AllFigures(Figures):
    """Figures that also keep each answer to a user who was found logged out, and all evidence."""

    logged_out: list[Op] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def tell(self, op: Op, *, anonymous: bool) -> None:
        super().tell(op, anonymous=anonymous)
        if anonymous:
            self.logged_out.append(op)

    def find(self, evidence: Evidence) -> None:
        super().find(evidence)
        self.evidence.append(evidence)


_COUNTS = (
    *("ok", "fail", "unknown", "failed_gets", "failed_writes", "logins", "as_logged_in", "logged_out"),
    *("logouts", "ends_of_others", "updates", "proxied", "retried", "shed"),
)


def _by_path(request: tuple[tuple[str, str], _Request]) -> tuple[str, str]:
    (method, path), _ = request
    return path, method


def _row(method: str, path: str, request: _Request) -> Row:
    p50, p90, p99, p999 = request.times.percentiles(0.5, 0.9, 0.99, 0.999)
    count = request.times.count
    return Row(method=method, path=path, operations=count, failed=request.failed, p50=p50, p90=p90, p99=p99, p999=p999)
