"""The phases of a run, by the marks in its history."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.checker.findings import Window
from loadtest.history import Mark

FAULT, UNDO = "fault", "undo"
INSTANTS = frozenset({FAULT, UNDO})
"""Marks that begin no phase: what is done to the cluster within one."""
END = "end"
DURING = "during"
"""The phase of an experiment during which the fault is active."""


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
