"""Plots of a history: requests by outcome and by node, latency, and where the fault was. SVG, by matplotlib.

The colours are Okabe and Ito's, which colour-blind people can distinguish; hatching and dashes serve a grey print.
"""

import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtest.checker.figures import percentile
from loadtest.history import STOPPED, Event, Op, OpOutcome, Probe

_MOST_STEPS = 60
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""In seconds; the first that needs no more than `_MOST_STEPS` of them is taken, or a longer one."""


_INK, _GRID, _FAULT = "#222222", "#dddddd", "#e8e2d0"
_OUTCOMES = {
    OpOutcome.OK: ("answered", "#009E73", ""),
    OpOutcome.FAIL: ("refused", "#E69F00", "///"),
    OpOutcome.UNKNOWN: ("failed, unknown whether done", "#D55E00", "xxx"),
}
_COLOURS = ("#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#999999")
_HATCHES = ("", "///", "\\\\\\", "|||", "xxx", "---")
"""No dots and circles: one pattern of them has 150 KB, lines have 1."""
_WIDTH, _HEIGHT = 9.0, 5.6
"""In inches; the page scales it."""
_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "path",  # independent of the fonts of the reader
    "svg.hashsalt": "session-cluster",
}


@dataclass(frozen=True)
class Timeline:
    """`times` are the beginnings of the steps in seconds after the fault; each series has a value for each of them.

    `outcomes` and `nodes` are requests per second, by when they ended; `nodes` by the answering node. `p50` and `p99`
    are milliseconds, NaN where nothing ended. `probes` are the prober's: seconds after the fault when each was sent,
    how long it took in milliseconds, and whether its answer was good.
    """

    step: float
    times: tuple[float, ...]
    outcomes: dict[OpOutcome, tuple[float, ...]]
    nodes: dict[str, tuple[float, ...]]
    p50: tuple[float, ...]
    p99: tuple[float, ...]
    probes: tuple[tuple[float, float, bool], ...]


def make_timeline(events: Iterable[Event], begin: float, end: float, zero: float) -> Timeline:
    """Count what ended between `begin` and `end`. All times in epoch seconds; `zero` is that of the fault."""
    step = next((step for step in _STEPS if (end - begin) / step <= _MOST_STEPS), (end - begin) / _MOST_STEPS)
    count = max(1, math.ceil((end - begin) / step))
    outcomes: dict[OpOutcome, Counter[int]] = {outcome: Counter() for outcome in OpOutcome}
    nodes: dict[str, Counter[int]] = defaultdict(Counter)
    latencies: dict[int, list[float]] = defaultdict(list)
    probes = []
    for event in events:
        if not isinstance(event, Op | Probe) or not begin <= event.ended < end or event.error == STOPPED:
            continue
        milliseconds = (event.ended - event.started) * 1000
        if isinstance(event, Probe):
            probes.append((event.started - zero, milliseconds, event.outcome is OpOutcome.OK))
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
        p50=tuple(percentile(latencies[at], 0.5) for at in range(count)),
        p99=tuple(percentile(latencies[at], 0.99) for at in range(count)),
        probes=tuple(sorted(probes)),
    )


def draw(shown: Timeline, fault: tuple[float, float] | None, losses: Sequence[float] = ()) -> str:
    """Return the SVG. `fault` is its begin and end (None: no fault), `losses` are the times of answers that proved a
    loss; both in seconds of the timeline."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        requests, nodes, latency = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 4))
        for axes in (requests, nodes, latency):
            if fault is not None:
                axes.axvspan(*fault, color=_FAULT, zorder=0)
            axes.grid(axis="y", color=_GRID, linewidth=0.6)
            axes.set_axisbelow(True)
        _requests(requests, shown, losses)
        _nodes(nodes, shown)
        _latency(latency, shown)
        requests.set_ylim(bottom=0)
        nodes.set_ylim(bottom=0)
        if fault is not None:
            _say_when(requests, fault)
        latency.set_xlabel("seconds after the fault" if fault is not None else "seconds")
        latency.set_xlim(shown.times[0], shown.times[-1] + shown.step)
        image = io.StringIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
        return image.getvalue()


def _requests(axes: Any, shown: Timeline, losses: Sequence[float]) -> None:
    drawn = {
        style: shown.outcomes[outcome]
        for outcome, style in _OUTCOMES.items()
        if outcome is OpOutcome.OK or any(shown.outcomes[outcome])
    }
    highest = _stack(axes, shown, drawn)
    losses = [at for at in losses if shown.times[0] <= at <= shown.times[-1] + shown.step]
    if losses:
        axes.plot(
            losses, [highest * 1.06] * len(losses), "x", color=_INK, markersize=6, label="an answer proves a loss"
        )
    axes.set_ylabel("requests/s")
    _legend(axes)


def _nodes(axes: Any, shown: Timeline) -> None:
    styles = zip(shown.nodes, cycle(_COLOURS), cycle(_HATCHES), strict=False)
    _stack(axes, shown, dict(zip(styles, shown.nodes.values(), strict=True)))
    axes.set_ylabel("requests/s\nby node")
    if shown.nodes:
        _legend(axes)


def _stack(axes: Any, shown: Timeline, series: Mapping[tuple[str, str, str], Sequence[float]]) -> float:
    """Draw series on top of each other, by label, colour and hatch. Return the greatest sum."""
    edges = [*shown.times, shown.times[-1] + shown.step]
    below = [0.0] * len(shown.times)
    for (label, colour, hatch), rates in series.items():
        above = [low + rate for low, rate in zip(below, rates, strict=True)]
        axes.stairs(above, edges, baseline=below, fill=True, facecolor=colour, edgecolor="white", hatch=hatch,
                    linewidth=0, label=label)  # fmt: skip
        below = above
    return max(below)


def _latency(axes: Any, shown: Timeline) -> None:
    middles = [time + shown.step / 2 for time in shown.times]
    axes.plot(middles, shown.p50, "-", color="#0072B2", linewidth=1.3, label="median")
    axes.plot(middles, shown.p99, "--", color="#D55E00", linewidth=1.1, label="p99")
    bad = [(at, took) for at, took, good in shown.probes if not good]
    if bad:
        axes.plot(*zip(*bad, strict=True), "|", color=_INK, markersize=7, label="probe without a good answer")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_ylabel("latency, ms")
    _legend(axes)


def _say_when(axes: Any, fault: tuple[float, float]) -> None:
    for at, what, side in ((fault[0], "fault", "left"), (fault[1], "undone", "right")):
        axes.annotate(what, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                      ha=side, va="bottom", color=_INK, fontsize=8)  # fmt: skip


def _legend(axes: Any) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8, handlelength=2.2)
