"""The phases of a run, by the marks in its history."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.checker.findings import Window
from loadtest.checker.sums import FOREVER
from loadtest.history import Mark

FAULT, UNDO = "fault", "undo"
INSTANTS = frozenset({FAULT, UNDO})
"""Marks that begin no phase: what is done to the cluster within one."""
END = "end"
DURING = "during"
"""The phase of an experiment during which the fault is active."""


MOST_MARKS = 2000
"""Marks that are remembered. Of phases that are older only their seconds are: evidence of then counts to no phase."""


@dataclass(frozen=True)
class Phases:
    """Names and beginnings, in order; nothing before the first mark and after END belongs to a phase."""

    names: tuple[str, ...]
    begins: tuple[float, ...]
    end: float

    @classmethod
    def from_marks(cls, marks: Sequence[Mark], end: float) -> "Phases":
        """Return the phases that the marks begin. `end` is when the history ends, if no mark says so."""
        ordered = sorted((mark for mark in marks if mark.name not in INSTANTS), key=lambda mark: mark.at)
        begins = [mark for mark in ordered if mark.name != END]
        end = next((mark.at for mark in ordered if mark.name == END), end)
        return cls(tuple(mark.name for mark in begins), tuple(mark.at for mark in begins), end)

    def windows(self) -> dict[str, list[Window]]:
        """Return the windows of each phase; a repeated name has several."""
        result: dict[str, list[Window]] = {}
        for name, begin, end in zip(self.names, self.begins, (*self.begins[1:], self.end), strict=False):
            result.setdefault(name, []).append(Window(begin, max(begin, end)))
        return result

    def seconds(self) -> dict[str, float]:
        """Return how long each phase took, all of its windows together."""
        return {name: sum(one.seconds for one in passed) for name, passed in self.windows().items()}

    def at(self, time: float) -> str | None:
        index = bisect_right(self.begins, time) - 1
        return self.names[index] if index >= 0 and time <= self.end else None

    def during(self, started: float, ended: float) -> str | None:
        """Return the phase of an operation: the one it ended in, but DURING if any part of it was in that.

        So what was in flight when the fault was applied or undone does not count against the steady state.
        """
        first, last = (bisect_right(self.begins, time) for time in (started, ended))
        if DURING in self.names[max(first - 1, 0) : last] and started <= self.end:
            return DURING
        return self.at(ended)


class MarkedPhases:
    """The phases of a run while its marks come, of which it remembers MOST_MARKS at most."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._passed: Counter[str] = Counter()
        """Seconds of the phases whose marks are forgotten."""
        self.phases = Phases.from_marks([], FOREVER)

    def add(self, mark: Mark) -> None:
        self._marks.append(mark)
        if len(self._marks) > MOST_MARKS:
            self._forget()
        self.phases = Phases.from_marks(self._marks, FOREVER)

    def seconds(self, end: float) -> dict[str, float]:
        """Return how long each phase took, if the last one ended at that time unless a mark says so."""
        later = Phases.from_marks(self._marks, end).seconds()
        return {name: self._passed[name] + later.get(name, 0.0) for name in (*self._passed, *later)}

    def _forget(self) -> None:
        """Forget the older half of the marks."""
        ordered = sorted(self._marks, key=lambda mark: mark.at)
        begins = [index for index, mark in enumerate(ordered) if mark.name not in INSTANTS]
        cut = begins[len(begins) // 2]  # a phase begins with the first mark that is kept
        self._passed.update(Phases.from_marks(ordered[:cut], ordered[cut].at).seconds())
        self._marks = ordered[cut:]
