"""A counter that several clients increase and reset at the same time: which values may each of them be shown?

Visits are such a counter, and so is the quantity of each item in a cart. (Losses are counted in `figures.py`.) Only
real time orders operations: one that ended before another started came first; of two that overlap either may have come
first. An operation that ended as unknown happened at any time after it started, or never. So each value that is shown
has bounds:

- it holds at least what was acknowledged before it was asked for (and not reset since), and at least what an earlier
  answer showed, plus what was acknowledged in between;
- it holds at most all that was started before the answer came, without what was certainly reset.

An increment's own answer shows the counter with it in it.
"""

from bisect import insort
from dataclasses import dataclass, field
from typing import NamedTuple

from loadtest.checker.fork import State
from loadtest.checker.resets import Resets
from loadtest.checker.sums import FOREVER, Greatest, Sums
from loadtest.history import Op, OpOutcome

MOST_WAITING = 1000
"""Of the answers of one counter that are too much, how many wait for what proves them stale. More are not counted."""
OPEN = -1.0
"""The generation of a lost session that no login has ended yet, so that its end is unknown."""
MOST_CANDIDATES = 1000
"""Of the answers of a generation that miss something, how many are kept until it ends. More are not counted as stale,
but what they miss is still found, since later answers miss it too."""
MOST_NUMBERS = 50
"""Last updates of a generation that are remembered by number, to find two that were answered with one. An answer that
repeats an older number misses updates, and is found by that."""


class ShownValue(NamedTuple):
    """A value that an answer shows, with its bounds; ordered by when the answer came.

    `own` is what the operation itself added. `whole`: the value is what the session held; otherwise it may be too
    small without anything being wrong. `after` is when the last reset before it was over, and `generation` is `after`
    or OPEN; `unless_logout` is the upper bound if only logouts reset, `at_most_missing` how much can be missing at
    most, `reset` when the last certain reset began.
    """

    ended: float
    order: int
    started: float
    who: str
    value: int
    own: int
    whole: bool
    low: int
    high: int
    unless_logout: int
    at_most_missing: int
    after: float
    generation: float
    reset: float


class LostUpdates(NamedTuple):
    """Updates lost, and the answer that proves it."""

    updates: int
    shown: ShownValue


@dataclass(slots=True)
class Generation(State):
    """The answers that show a counter between two resets, in the order in which they came.

    What is missing from them is lost for good, or only from those that are stale.
    """

    _candidates: list[LostUpdates] = field(default_factory=list)
    _most: int = 0  # that one of them misses
    _numbers: dict[int, ShownValue] = field(default_factory=dict)
    _doubled: int = 0
    _proof: ShownValue | None = None

    def show(self, shown: ShownValue, stale: list[ShownValue]) -> None:
        """Take the next answer; add to `stale` those before it that miss what it shows."""
        if self._most > shown.at_most_missing:
            stale += [one.shown for one in self._candidates if one.updates > shown.at_most_missing]
            self._candidates = [one for one in self._candidates if one.updates <= shown.at_most_missing]
            self._most = max((one.updates for one in self._candidates), default=0)
        lacking = shown.low - shown.value
        if lacking > 0 and (lacking > self._most or len(self._candidates) < MOST_CANDIDATES):
            self._candidates.append(LostUpdates(lacking, shown))
            self._most = max(self._most, lacking)
        if shown.own and shown.started > shown.after:
            self._number(shown)

    def _number(self, shown: ShownValue) -> None:
        """Find two increments that were answered with one number: one of them overwrote the other."""
        earlier = self._numbers.pop(shown.value, None)
        if earlier is not None:
            self._doubled += min(shown.own, earlier.own)
            if self._proof is None or earlier < self._proof:
                self._proof = earlier
        self._numbers[shown.value] = shown
        if len(self._numbers) > MOST_NUMBERS:
            del self._numbers[next(iter(self._numbers))]

    def lost(self) -> LostUpdates | None:
        """Return what is missing in all that was seen from then on; None if nothing is."""
        worst = next((one for one in self._candidates if one.updates == self._most), None)
        if self._proof is not None and self._doubled > self._most:
            return LostUpdates(self._doubled, self._proof)
        return worst


@dataclass(slots=True)
class Verdicts:
    """The conclusions from a counter's answers."""

    lost: list[LostUpdates] = field(default_factory=list)
    stale: list[ShownValue] = field(default_factory=list)
    """Less than there must be, and later answers show it all."""
    stale_full: list[ShownValue] = field(default_factory=list)
    """More than there can be since the last reset, and later answers are right."""
    undone: list[ShownValue] = field(default_factory=list)
    revived: list[ShownValue] = field(default_factory=list)


@dataclass(slots=True)
class Counter(State):
    """One counter of one session: totals of what is settled, and all that happened since.

    Use: `add` each increment and each reset as soon as it is known; `show` each value in the order in which it was
    asked for, when everything that started before its answer is known; then `conclude`.
    """

    name: str
    resets: Resets
    _added: Sums = field(default_factory=Sums)  # by start, all of them
    _acknowledged_by_start: Sums = field(default_factory=Sums)
    _acknowledged_by_end: Sums = field(default_factory=Sums)
    _seen: Greatest = field(default_factory=Greatest)  # values shown
    _since: Greatest = field(default_factory=Greatest)  # values shown, less what was under way then
    _unseen: list[tuple[float, float, int, int]] = field(default_factory=list)
    """Answers that ended too late to count as seen, by end: ended, started, and what to add to these two."""
    _after: float = -FOREVER
    _open: bool = False  # in a lost session that no login has ended yet
    _count: int = 0  # of values shown
    _waiting: list[ShownValue] = field(default_factory=list)  # for their turn, by end
    _generations: dict[float, Generation] = field(default_factory=dict)
    _too_much: list[ShownValue] = field(default_factory=list)

    def add(self, op: Op, amount: int) -> None:
        """Note an increment; one that is not acknowledged may have happened at any time since it started.

        Of one that was acknowledged for another session nothing is certain.
        """
        self._added.add(op.started, amount)
        if op.outcome is OpOutcome.OK and op.replaced is not True:
            self._acknowledged_by_start.add(op.started, amount)
            self._acknowledged_by_end.add(op.ended, amount)

    def most(self, before: float) -> int:
        """Return all that was ever added until then: no answer can show more."""
        return self._added.before(before)

    def show(self, op: Op, value: int, own: int, *, whole: bool) -> None:
        """Note a value that the answer to `op` shows."""
        started, ended = op.started, op.ended
        resets = self.resets
        # Only ever later, so that what was seen before can be forgotten; a later one claims less, and is as true.
        self._after = max(self._after, resets.over_known(ended))
        self._open = self._open or resets.open_loss(ended)
        after = FOREVER if self._open else self._after
        while self._unseen and self._unseen[0][0] < started:
            _, known_started, seen, since = self._unseen.pop(0)
            self._seen.add(seen, known_started)
            self._since.add(since, known_started)
        acknowledged = self._acknowledged_by_end.before(started)
        low = max(
            0,
            acknowledged - self._acknowledged_by_start.until(after),
            self._seen.after(after),
            acknowledged + self._since.after(after),
        )
        ever = self._added.before(ended)
        reset, logout = resets.last_certain(started), resets.last_logout(started)
        high = ever - self._acknowledged_by_end.before(reset)
        under_way = self._acknowledged_by_start.before(ended)
        shown = ShownValue(
            ended=ended,
            order=-self._count,
            started=started,
            who=op.who,
            value=value,
            own=own,
            whole=whole,
            low=low + own,
            high=high,
            unless_logout=high if logout == reset else ever - self._acknowledged_by_end.before(logout),
            at_most_missing=low + under_way - acknowledged - value,
            after=after,
            generation=OPEN if self._open and self._after != FOREVER else after,
            reset=reset,
        )
        self._count += 1
        if whole and value <= high:  # what is back from before a reset says nothing about what came after
            insort(self._unseen, (ended, started, value, value - under_way))
        insort(self._waiting, shown)

    def end_loss(self, ended: float) -> None:
        """Note that the open generation, of answers since a loss, is that of the login acknowledged at `ended`."""
        if not self._open:
            return
        self._open = False
        self._after = max(self._after, ended)
        self._waiting = [
            shown._replace(generation=ended) if shown.generation == OPEN else shown for shown in self._waiting
        ]
        if OPEN in self._generations:
            self._generations[ended] = self._generations.pop(OPEN)

    def conclude(self, before: float, verdicts: Verdicts) -> None:
        """Evaluate the answers that came before that time, when no other one can come before it any more."""
        count = 0
        for shown in self._waiting:
            if shown.ended >= before:
                break
            count += 1
            if shown.value > shown.high:
                if shown.value > shown.unless_logout:
                    verdicts.revived.append(shown)
                elif len(self._too_much) < MOST_WAITING:
                    self._too_much.append(shown)
                continue
            if self._too_much:
                self._right(shown, verdicts)
            if shown.whole:
                generation = self._generations.get(shown.generation)
                if generation is None:
                    generation = self._generations[shown.generation] = Generation()
                generation.show(shown, verdicts.stale)
        del self._waiting[:count]
        if len(self._generations) > 1:
            current = {OPEN, self._after, *(shown.generation for shown in self._waiting)}
            for over in [after for after in self._generations if after not in current]:
                if (lost := self._generations.pop(over).lost()) is not None:
                    verdicts.lost.append(lost)

    def _right(self, right: ShownValue, verdicts: Verdicts) -> None:
        """Evaluate too large answers before a right one: they are stale, unless a reset may explain them."""
        reset_over = self.resets.over(right.started)
        for shown in self._too_much:
            if right.whole and shown.started < right.started and shown.started >= reset_over:
                verdicts.stale_full.append(shown)
            else:
                verdicts.undone.append(shown)
        self._too_much = []

    def end(self, verdicts: Verdicts) -> None:
        """Evaluate what has waited for later answers, when there are none."""
        verdicts.undone += self._too_much
        verdicts.lost += [lost for one in self._generations.values() if (lost := one.lost()) is not None]

    def oldest(self, start: float) -> float:
        """Return the earliest start of an answer that waits for its turn, `start` at the latest."""
        return min((shown.started for shown in self._waiting), default=start)

    def forget(self, before: float) -> None:
        """Keep of the increments what operations that start at `before` or later can depend on."""
        self._added.forget(before, ())
        self._acknowledged_by_start.forget(before, self.resets.ends)
        self._acknowledged_by_end.forget(before, self.resets.starts)
