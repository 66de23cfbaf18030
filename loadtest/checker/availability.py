"""The observations of the independent prober. It waits for no answer before the next probe, so it misses nothing."""

import copy
from bisect import insort
from collections import Counter

from loadtest.checker.figures import Histogram
from loadtest.checker.findings import Availability, Window
from loadtest.history import OpOutcome, Probe

SLOW_AFTER = 1.0
"""Seconds after which an answer to the prober is slow."""
MOST_WINDOWS = 1000
"""Windows without a good answer that are kept; of more, the longest."""


class TargetProbes:
    """The probes of one target. They may come in any order until they are settled."""

    def __init__(self) -> None:
        self._pending: list[Probe] = []
        self._outcomes: Counter[OpOutcome] = Counter()
        self._times = Histogram()
        self._steps: Counter[float] = Counter()  # between two probes, rounded to ms
        self._last: Probe | None = None
        self._late = 0.0
        self._failed_since: float | None = None
        self._errors: list[Window] = []
        self._slow: Window | None = None

    def add(self, probe: Probe) -> None:
        insort(self._pending, probe, key=lambda one: one.started)

    def settle(self, frontier: float) -> None:
        """Count the probes that started before `frontier`, when all of them are known."""
        count = 0
        for probe in self._pending:
            if probe.started >= frontier:
                break
            self._count(probe)
            count += 1
        del self._pending[:count]

    def _count(self, probe: Probe) -> None:
        took = probe.ended - probe.started
        if self._last is not None:
            self._steps[round(probe.started - self._last.started, 3)] += 1
        self._last = probe
        self._outcomes[probe.outcome] += 1
        self._times.add(took)
        self._late = max(self._late, probe.late)
        if probe.outcome is not OpOutcome.OK or took > SLOW_AFTER:
            begin, end = (self._slow.begin, self._slow.end) if self._slow is not None else (probe.started, probe.ended)
            self._slow = Window(begin, max(end, probe.ended))
        if probe.outcome is not OpOutcome.OK:
            self._failed_since = probe.started if self._failed_since is None else self._failed_since
        elif self._failed_since is not None:
            self._fail_until(probe.started)

    def _fail_until(self, end: float) -> None:
        assert self._failed_since is not None
        self._errors.append(Window(self._failed_since, end))
        self._failed_since = None
        if len(self._errors) > MOST_WINDOWS:
            self._errors.remove(min(self._errors, key=lambda window: window.seconds))

    def result(self) -> Availability:
        """Return what all probes so far show; there must be one at least."""
        seen = copy.deepcopy(self, {id(self._pending): self._pending, id(self._last): self._last})
        for probe in self._pending:
            seen._count(probe)
        if seen._failed_since is not None and seen._last is not None:
            seen._fail_until(seen._last.ended)
        return seen._result()

    def _result(self) -> Availability:
        p50, p99 = self._times.percentiles(0.5, 0.99)
        return Availability(
            probes=self._times.count,
            ok=self._outcomes[OpOutcome.OK],
            fail=self._outcomes[OpOutcome.FAIL],
            unknown=self._outcomes[OpOutcome.UNKNOWN],
            interval=_median(self._steps),
            late=round(self._late, 3),
            errors=tuple(self._errors),
            slow=self._slow,
            slow_after=SLOW_AFTER,
            p50=p50,
            p99=p99,
            slowest=self._times.largest,
        )


def _median(values: "Counter[float]") -> float:
    """Return the lower median; 0 of none."""
    passed = 0
    for value, count in sorted(values.items()):
        passed += count
        if passed * 2 >= values.total():
            return value
    return 0.0
