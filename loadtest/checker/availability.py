"""What the independent prober saw. It waits for no answer before it sends the next probe, so it misses nothing."""

import itertools
from collections.abc import Sequence
from statistics import median

from loadtest.checker.figures import percentile
from loadtest.checker.findings import Availability, Window
from loadtest.history import Probe
from loadtest.ledger import Outcome


def availability(probes: Sequence[Probe], slow_after: float) -> Availability:
    """Judge the probes of one target, in any order; there must be one at least."""
    ordered = sorted(probes, key=lambda probe: probe.started)
    outcomes = [probe.outcome for probe in ordered]
    times = [probe.ended - probe.started for probe in ordered]
    bad = [probe for probe in ordered if probe.outcome is not Outcome.OK or probe.ended - probe.started > slow_after]
    return Availability(
        probes=len(ordered),
        ok=outcomes.count(Outcome.OK),
        fail=outcomes.count(Outcome.FAIL),
        unknown=outcomes.count(Outcome.UNKNOWN),
        interval=_interval(ordered),
        late=round(max(probe.late for probe in ordered), 3),
        errors=_errors(ordered),
        slow=Window(bad[0].started, max(probe.ended for probe in bad)) if bad else None,
        slow_after=slow_after,
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        slowest=percentile(times, 1.0),
    )


def _interval(ordered: Sequence[Probe]) -> float:
    steps = [later.started - earlier.started for earlier, later in itertools.pairwise(ordered)]
    return round(median(steps), 3) if steps else 0.0


def _errors(ordered: Sequence[Probe]) -> tuple[Window, ...]:
    """From each failed probe that follows a good one, to the next good one, or to the end of the last."""
    windows = []
    begin: float | None = None
    for probe in ordered:
        if probe.outcome is not Outcome.OK:
            begin = probe.started if begin is None else begin
        elif begin is not None:
            windows.append(Window(begin, probe.started))
            begin = None
    if begin is not None:
        windows.append(Window(begin, ordered[-1].ended))
    return tuple(windows)
