"""A counter that several clients increase and reset at the same time: which values may each of them be shown?

Visits are such a counter, and so is the quantity of each item in a cart. Only real time orders operations: one that
ended before another started came first; of two that overlap either may have come first. An operation that ended as
unknown happened at any time after it started, or never. So each value that is shown has bounds:

- it holds at least what was acknowledged before it was asked for (and not reset since), and at least what an earlier
  answer showed, plus what was acknowledged in between;
- it holds at most all that was started before the answer came, without what was certainly reset.

An increment's own answer shows the counter with it in it.
"""

import heapq
import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from loadtest.history import Op

FOREVER = float("inf")
NEVER = -(10**18)  # less than any sum of amounts


class Increment(NamedTuple):
    """`acknowledged`: it happened between these times. Otherwise it may have happened, at any time from `started`."""

    started: float
    ended: float
    amount: int
    acknowledged: bool


class Reset(NamedTuple):
    """Something that sets the counter to 0 between these times. If it is not `certain`, it may do so; it then ends
    FOREVER unless it is known when it is over. `logout`: it ended the session, too."""

    started: float
    ended: float
    certain: bool
    logout: bool


class Shown(NamedTuple):
    """A value that the answer to `op` shows; `own` is what the operation itself added to it.

    `whole`: it is what the session held. Otherwise it may be too small without anything being wrong.
    """

    op: Op
    value: int
    own: int
    whole: bool = True


class Bounds(NamedTuple):
    """What a shown value may be. `after` is when the last reset before it was over (the same for all of a generation),
    `unless_logout` the upper bound if only logouts reset, `at_most_missing` how much can be missing at most, `reset`
    when the last certain reset began."""

    low: int
    high: int
    unless_logout: int
    at_most_missing: int
    after: float
    reset: float


@dataclass
class Counter:
    """All that happened to one counter of one session."""

    name: str
    increments: list[Increment] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)

    def impossible(self) -> list[tuple[Shown, int]]:
        """Values that are more than all that was ever added until then, and how much that was."""
        ever = _Sums((one.started, one.amount) for one in self.increments)
        judged = ((one, ever.before(one.op.ended)) for one in self.shown)
        return [(one, most) for one, most in judged if one.value > most]

    def bounds(self, resets: Sequence[Reset]) -> list[tuple[Shown, Bounds]]:
        """Each shown value with its bounds, by when it was asked for."""
        sure = [one for one in self.increments if one.acknowledged]
        sure_by_end = _Sums((one.ended, one.amount) for one in sure)
        sure_by_start = _Sums((one.started, one.amount) for one in sure)
        all_by_start = _Sums((one.started, one.amount) for one in self.increments)
        over = _Latest((one.started, one.ended) for one in resets)
        certain = _Latest((one.ended, one.started) for one in resets if one.certain)
        logouts = _Latest((one.ended, one.started) for one in resets if one.certain and one.logout)
        by_end = sorted((one for one in self.shown if one.whole), key=lambda one: one.op.ended)
        too_much: set[int] = set()  # what is back from before a reset says nothing about what came after
        seen, since = _Greatest(), _Greatest()  # values shown before, and the same less what was under way then
        added = 0
        after = -FOREVER
        result = []
        for one in sorted(self.shown, key=lambda one: one.op.started):
            started, ended = one.op.started, one.op.ended
            # Only ever later, so that the heap can forget; a later one claims less, and is as true.
            after = max(after, over.before(ended))
            while added < len(by_end) and by_end[added].op.ended < started:
                known = by_end[added]
                if id(known.op) not in too_much:
                    seen.add(known.value, known.op.started)
                    since.add(known.value - sure_by_start.before(known.op.ended), known.op.started)
                added += 1
            acknowledged = sure_by_end.before(started)
            low = max(
                0, acknowledged - sure_by_start.until(after), seen.after(after), acknowledged + since.after(after)
            )
            ever = all_by_start.before(ended)
            reset = certain.before(started)
            high = ever - sure_by_end.before(reset)
            if one.value > high:
                too_much.add(id(one.op))
            result.append(
                (
                    one,
                    Bounds(
                        low=low + one.own,
                        high=high,
                        unless_logout=ever - sure_by_end.before(logouts.before(started)),
                        at_most_missing=low + sure_by_start.before(ended) - acknowledged - one.value,
                        after=after,
                        reset=reset,
                    ),
                )
            )
        return result


class Missing(NamedTuple):
    """What is missing: `lost` for good, with an answer that proves it for each generation, and answers that are stale:
    a later one shows what they miss."""

    lost: list[tuple[int, Shown, Bounds]]
    stale: list[tuple[Shown, Bounds]]


def missing(judged: Sequence[tuple[Shown, Bounds]]) -> Missing:
    """Sort what is below its lower bound into lost and stale."""
    generations: dict[float, list[tuple[Shown, Bounds]]] = defaultdict(list)
    for one, bounds in judged:
        if one.whole and one.value <= bounds.high:
            generations[bounds.after].append((one, bounds))
    result = Missing([], [])
    for generation in generations.values():
        generation.sort(key=lambda pair: pair[0].op.ended, reverse=True)
        least = FOREVER  # missing in any answer that came later
        worst: tuple[int, Shown, Bounds] | None = None
        for one, bounds in generation:
            lacking = bounds.low - one.value
            if lacking > 0:
                if lacking > least:
                    result.stale.append((one, bounds))
                elif worst is None or lacking >= worst[0]:
                    worst = (lacking, one, bounds)
            least = min(least, bounds.at_most_missing)
        doubled = _doubled(generation)
        if doubled is not None and (worst is None or doubled[0] > worst[0]):
            worst = doubled
        if worst is not None:
            result.lost.append(worst)
    return result


def _doubled(generation: Iterable[tuple[Shown, Bounds]]) -> tuple[int, Shown, Bounds] | None:
    """Two increments that were answered with the same number: one of them overwrote the other."""
    seen: dict[int, int] = {}
    lost = 0
    proof = None
    for one, bounds in generation:
        if not one.own or one.op.started <= bounds.after:
            continue
        if one.value in seen:
            lost += min(one.own, seen[one.value])
            proof = (one, bounds)
        seen[one.value] = one.own
    return None if proof is None else (lost, *proof)


class _Sums:
    """Amounts by time: how much until then?"""

    def __init__(self, amounts: Iterable[tuple[float, int]]) -> None:
        ordered = sorted(amounts)
        self._times = [time for time, _ in ordered]
        self._sums = [0, *itertools.accumulate(amount for _, amount in ordered)]

    def before(self, time: float) -> int:
        return self._sums[bisect_left(self._times, time)]

    def until(self, time: float) -> int:
        return self._sums[bisect_right(self._times, time)]


class _Latest:
    """The greatest value of all that were there before some time; minus infinity for none."""

    def __init__(self, values: Iterable[tuple[float, float]]) -> None:
        ordered = sorted(values)
        self._times = [time for time, _ in ordered]
        self._latest = [-FOREVER, *itertools.accumulate((value for _, value in ordered), max)]

    def before(self, time: float) -> float:
        return self._latest[bisect_left(self._times, time)]


class _Greatest:
    """The greatest of some values that were asked for after some time, which only ever becomes later."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, float]] = []

    def add(self, value: int, started: float) -> None:
        heapq.heappush(self._heap, (-value, started))

    def after(self, time: float) -> int:
        while self._heap and self._heap[0][1] <= time:
            heapq.heappop(self._heap)
        return -self._heap[0][0] if self._heap else NEVER
