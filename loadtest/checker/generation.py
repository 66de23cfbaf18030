"""What is missing from a counter between two resets: lost for good, or only from answers that are stale."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from loadtest.checker.fork import State

if TYPE_CHECKING:
    from loadtest.checker.counter import ShownValue

OPEN = -1.0
"""The generation of a lost session that no login has ended yet, so that its end is unknown."""
MOST_CANDIDATES = 1000
"""Of the answers of a generation that miss something, how many are kept until it ends. More are not counted as stale,
but what they miss is still found, since later answers miss it too."""
MOST_NUMBERS = 50
"""Last updates of a generation that are remembered by number, to find two that were answered with one. An answer that
repeats an older number misses updates, and is found by that."""


class LostUpdates(NamedTuple):
    """Updates lost, and the answer that proves it."""

    updates: int
    shown: "ShownValue"


@dataclass(slots=True)
class Generation(State):
    """The answers that show a counter between two resets, in the order in which they came."""

    _candidates: list[LostUpdates] = field(default_factory=list)
    _most: int = 0  # that one of them misses
    _numbers: "dict[int, ShownValue]" = field(default_factory=dict)
    _doubled: int = 0
    _proof: "ShownValue | None" = None

    def show(self, shown: "ShownValue", stale: list["ShownValue"]) -> None:
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

    def _number(self, shown: "ShownValue") -> None:
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
