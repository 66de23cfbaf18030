"""A history in equal steps of time, relative to the fault, as plots show it. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.history import Event, Op, Probe
from loadtest.history.events import STOPPED
from loadtest.ledger import Outcome

_MOST_STEPS = 60
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""In seconds; the first that needs no more than `_MOST_STEPS` of them is taken."""


@dataclass(frozen=True)
class Timeline:
    """`times` are the beginnings of the steps in seconds after the fault; each series has a value for each of them.

    `outcomes` and `nodes` are requests per second, by when they ended; `nodes` by who answered. `p50`, `p99` and
    `slowest` are milliseconds, NaN where nothing ended. `probes` are the prober's: seconds after the fault when each
    was sent, how long it took in milliseconds, and whether its answer was good.
    """

    step: float
    times: tuple[float, ...]
    outcomes: dict[Outcome, tuple[float, ...]]
    nodes: dict[str, tuple[float, ...]]
    p50: tuple[float, ...]
    p99: tuple[float, ...]
    probes: tuple[tuple[float, float, bool], ...]


def timeline(events: Iterable[Event], begin: float, end: float, zero: float) -> Timeline:
    """Of what ended between `begin` and `end`; all three in epoch seconds, `zero` being the fault's."""
    step = next((step for step in _STEPS if (end - begin) / step <= _MOST_STEPS), _STEPS[-1])
    count = max(1, math.ceil((end - begin) / step))
    outcomes: dict[Outcome, Counter[int]] = {outcome: Counter() for outcome in Outcome}
    nodes: dict[str, Counter[int]] = defaultdict(Counter)
    latencies: dict[int, list[float]] = defaultdict(list)
    probes = []
    for event in events:
        if not isinstance(event, Op | Probe) or not begin <= event.ended < end or event.error == STOPPED:
            continue
        milliseconds = (event.ended - event.started) * 1000
        if isinstance(event, Probe):
            probes.append((event.started - zero, milliseconds, event.outcome is Outcome.OK))
            continue
        at = int((event.ended - begin) / step)
        outcomes[event.outcome][at] += 1
        latencies[at].append(milliseconds)
        if event.node:
            nodes[event.node][at] += 1

    def rates(counted: Counter[int]) -> tuple[float, ...]:
        return tuple(counted[at] / step for at in range(count))

    return Timeline(
        step=step,
        times=tuple(begin - zero + at * step for at in range(count)),
        outcomes={outcome: rates(counted) for outcome, counted in outcomes.items()},
        nodes={node: rates(nodes[node]) for node in sorted(nodes)},
        p50=tuple(_percentile(latencies[at], 0.5) for at in range(count)),
        p99=tuple(_percentile(latencies[at], 0.99) for at in range(count)),
        probes=tuple(sorted(probes)),
    )


def _percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
