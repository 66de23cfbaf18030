"""Sums and maxima over time that forget values without further use.

A long session makes many operations. Of those that are settled, a few totals are enough: how much there was before the
times that later questions name. So each of these keeps points in time with the total up to there, and drops the points
between which nothing distinguishes any more.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtest.checker.fork import State

FOREVER = float("inf")
NEVER = -(10**18)
"""Less than any sum of amounts."""
MOST_STEPS = 256
_MANY = 32  # points; below, forgetting saves nothing


@dataclass(slots=True)
class Sums(State):
    """Amounts by time: how much until then?"""

    _times: list[float] = field(default_factory=list)
    _sums: list[int] = field(default_factory=list)

    def add(self, time: float, amount: int) -> None:
        index = bisect_right(self._times, time)
        self._times.insert(index, time)
        self._sums.insert(index, self._sums[index - 1] if index else 0)
        for later in range(index, len(self._sums)):
            self._sums[later] += amount

    def before(self, time: float) -> int:
        index = bisect_left(self._times, time)
        return self._sums[index - 1] if index else 0

    def until(self, time: float) -> int:
        index = bisect_right(self._times, time)
        return self._sums[index - 1] if index else 0

    def forget(self, before: float, times: Iterable[float]) -> None:
        """Drop values that are not needed for `times` or for times from `before` on."""
        if len(self._times) < _MANY:
            return
        cut = bisect_left(self._times, before)
        kept = {cut - 1}
        for time in times:
            kept |= {bisect_left(self._times, time) - 1, bisect_right(self._times, time) - 1}
        indices = [index for index in sorted(kept) if 0 <= index < cut]
        self._times[:cut] = [self._times[index] for index in indices]
        self._sums[:cut] = [self._sums[index] for index in indices]


@dataclass(slots=True)
class Latest(State):
    """The greatest value of all that were there before some time; minus infinity for none."""

    _times: list[float] = field(default_factory=list)
    _greatest: list[float] = field(default_factory=list)

    def add(self, time: float, value: float) -> None:
        index = bisect_right(self._times, time)
        self._times.insert(index, time)
        self._greatest.insert(index, max(value, self._greatest[index - 1]) if index else value)
        for later in range(index + 1, len(self._greatest)):
            self._greatest[later] = max(self._greatest[later], value)

    def before(self, time: float) -> float:
        index = bisect_left(self._times, time)
        return self._greatest[index - 1] if index else -FOREVER

    @property
    def values(self) -> list[float]:
        """Every answer that `before` can still give."""
        return self._greatest

    def forget(self, before: float) -> None:
        """Drop values that are not needed for times from `before` on."""
        cut = bisect_left(self._times, before) - 1
        if cut > 0:
            del self._times[:cut], self._greatest[:cut]


@dataclass(slots=True)
class Greatest(State):
    """The greatest of some values that were asked for after some time, which only ever becomes later.

    Keeps those values that are greater than every later one; of these, MOST_STEPS at most, so that it may claim less.
    """

    _steps: list[tuple[float, int]] = field(default_factory=list)  # times rise, values fall

    def add(self, value: int, started: float) -> None:
        steps = self._steps
        if steps and steps[-1][0] <= started:  # in order, as nearly always
            while steps and steps[-1][1] <= value:
                steps.pop()
            steps.append((started, value))
        elif not any(time >= started and other >= value for time, other in steps):
            steps[:] = [(time, other) for time, other in steps if time > started or other > value]
            insort(steps, (started, value))
        if len(steps) > MOST_STEPS:
            del steps[-2]

    def after(self, time: float) -> int:
        steps = self._steps
        while steps and steps[0][0] <= time:
            del steps[0]
        return steps[0][1] if steps else NEVER
