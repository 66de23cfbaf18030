"""The picture of a run: its requests and what was lost, the nodes that answered, and latency. SVG, by matplotlib.

The colours are Okabe and Ito's, which colour-blind people can distinguish; hatching and dashes serve a grey print.
"""

import io
import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape, unescape
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtest.checker.figures import is_failure, percentile
from loadtest.history import STOPPED, Event, Op, OpOutcome, Probe

_MOST_STEPS = 60
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""In seconds; the first that needs no more than `_MOST_STEPS` of them is taken, or a longer one."""


class Fate(StrEnum):
    """The fate of a request, from the bottom of the picture to its top."""

    GOOD = "answered"
    LOGGED_OUT = "answered: user found logged out"
    REFUSED = "refused with a reason (4xx)"
    GIVEN_UP = "given up by its user"
    FAILED = "failed"


_INK, _GRID, _FAULT, BAD = "#222222", "#dddddd", "#e8e2d0", "#c1121f"
_DARK = {
    _INK: "#e4e2dd",
    _GRID: "#3a3a38",
    _FAULT: "#45402f",
    BAD: "#ff6b6b",
    "#009e73": "#1f7a5c",
    "#0072b2": "#3f97d6",
}
"""Colours on a dark page, for those that stand on the page itself or shine on it."""
_FATES = {
    Fate.GOOD: ("#009e73", ""),
    Fate.LOGGED_OUT: (BAD, ""),
    Fate.REFUSED: ("#56b4e9", "///"),
    Fate.GIVEN_UP: ("#999999", "---"),
    Fate.FAILED: ("#e69f00", "xxx"),
}
_COLOURS = ("#0072b2", "#e69f00", "#56b4e9", "#cc79a7", "#f0e442", "#999999")
_HATCHES = ("", "///", "\\\\\\", "|||", "xxx", "---")
"""No dots and circles: one pattern of them has 150 KB, lines have 1."""
_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "path",  # independent of the fonts of the reader
    "svg.hashsalt": "session-cluster",
}
_AS_TEXT: Any = {"svg.fonttype": "none"}
"""For letters that the fonts of this machine may lack, and those of the reader have."""
_TEXT = re.compile(r"(<text\b[^>]*>)([^<]+)(</text>)")


@dataclass(frozen=True)
class Layout:
    """Size in inches, which the page scales; legends are beside the pictures, or above them with `columns`."""

    width: float
    height: float
    columns: int = 0


WIDE, NARROW = Layout(9.0, 5.4), Layout(4.3, 7.6, columns=2)
"""For a desk and for a telephone."""
_STRIP = 0.2
"""Height of a line of losses, in inches."""


@dataclass(frozen=True)
class Timeline:
    """`times` are the beginnings of the steps in seconds after the fault; each series has a value for each of them.

    `fates` and `nodes` are requests per second, by when they ended; `nodes` by the answering node. `p50` and `p99`
    are milliseconds, NaN where nothing ended. `probes` are the prober's: seconds after the fault when each was sent,
    how long it took in milliseconds, and whether its answer was good.
    """

    step: float
    times: tuple[float, ...]
    fates: dict[Fate, tuple[float, ...]]
    nodes: dict[str, tuple[float, ...]]
    p50: tuple[float, ...]
    p99: tuple[float, ...]
    probes: tuple[tuple[float, float, bool], ...]


@dataclass(frozen=True)
class Marks:
    """The marks of a picture, in seconds of its timeline. `fault` is its begin and end (None: no fault), `undone`
    is false where it lasts to the end; `arrived` is the end of the arrival. `losses` are the times of the answers that
    proved a loss, by what they proved."""

    fault: tuple[float, float] | None = None
    undone: bool = True
    arrived: float | None = None
    losses: Mapping[str, Sequence[float]] | None = None


def make_timeline(
    events: Iterable[Event], begin: float, end: float, zero: float, logged_out: Iterable[Op] = ()
) -> Timeline:
    """Count what ended between `begin` and `end`. All times in epoch seconds; `zero` is that of the fault.

    `logged_out` are the answers that found a logged-in user logged out.
    """
    step = next((step for step in _STEPS if (end - begin) / step <= _MOST_STEPS), (end - begin) / _MOST_STEPS)
    count = max(1, math.ceil((end - begin) / step))
    found_out = {(op.who, op.ended) for op in logged_out}
    fates: dict[Fate, Counter[int]] = {fate: Counter() for fate in Fate}
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
        fates[_classify(event, found_out)][at] += 1
        latencies[at].append(milliseconds)
        if event.node:
            nodes[event.node][at] += 1

    def rates(counted: Counter[int]) -> tuple[float, ...]:
        return tuple(counted[at] / step for at in range(count))

    return Timeline(
        step=step,
        times=tuple(begin - zero + at * step for at in range(count)),
        fates={fate: rates(counted) for fate, counted in fates.items()},
        nodes={node: rates(nodes[node]) for node in sorted(nodes)},
        p50=tuple(percentile(latencies[at], 0.5) for at in range(count)),
        p99=tuple(percentile(latencies[at], 0.99) for at in range(count)),
        probes=tuple(sorted(probes)),
    )


def _classify(op: Op, found_out: Collection[tuple[str, float]]) -> Fate:
    if (op.who, op.ended) in found_out:
        return Fate.LOGGED_OUT
    if op.outcome is OpOutcome.OK:
        return Fate.GOOD
    if is_failure(op):
        return Fate.FAILED
    return Fate.REFUSED if op.outcome is OpOutcome.FAIL else Fate.GIVEN_UP


def draw(shown: Timeline, marks: Marks, layout: Layout = WIDE, translate: Callable[[str], str] | None = None) -> str:
    """Return the SVG. Its place is laid out for the English words, and `translate` replaces them by shorter ones."""
    losses = {what: times for what, times in (marks.losses or {}).items() if times}
    heights = [layout.height * share for share in (0.36, 0.32, 0.32)]
    if losses:
        heights.insert(1, _STRIP * len(losses) * (2 if layout.columns else 1))
    with mpl.rc_context(_SETTINGS | (_AS_TEXT if translate else {})):
        figure = Figure(figsize=(layout.width, sum(heights)), layout="constrained")
        requests, *strip, nodes, latency = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        for axes in figure.axes:
            if marks.fault is not None:
                axes.axvspan(*marks.fault, color=_FAULT, zorder=0)
            if marks.arrived is not None:
                axes.axvline(marks.arrived, color=_INK, linewidth=0.8, linestyle=":")
            axes.grid(axis="y", color=_GRID, linewidth=0.6)
            axes.set_axisbelow(True)
        _requests(requests, shown, layout)
        for axes in strip:
            _losses(axes, losses, layout)
        _nodes(nodes, shown, layout)
        _latency(latency, shown, layout)
        requests.set_ylim(bottom=0)
        nodes.set_ylim(bottom=0)
        _say_when(latency if layout.columns else requests, marks, layout)
        latency.set_xlabel("seconds after the fault" if marks.fault is not None else "seconds")
        latency.set_xlim(shown.times[0], shown.times[-1] + shown.step)
        image = io.StringIO()
        with warnings.catch_warnings():  # of hundreds of faults that leave no space for their axes: they overlap then
            warnings.simplefilter("ignore", UserWarning)
            figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    svg = _with_dark_colours(image.getvalue())
    return svg if translate is None else _translate(svg, translate, shown.nodes)


def _translate(svg: str, translate: Callable[[str], str], names: Collection[str]) -> str:
    """Return the SVG with other words; names of nodes stay."""

    def replace(found: re.Match[str]) -> str:
        text = unescape(found[2])
        return f"{found[1]}{escape(text if text in names else translate(text), quote=False)}{found[3]}"

    return _TEXT.sub(replace, svg)


def _requests(axes: Any, shown: Timeline, layout: Layout) -> None:
    drawn = {
        (fate.value, *style): shown.fates[fate]
        for fate, style in _FATES.items()
        if fate is Fate.GOOD or any(shown.fates[fate])
    }
    _stack(axes, shown, drawn)
    axes.set_ylabel("requests/s")
    _legend(axes, layout, columns=1)  # they are long


def _losses(axes: Any, losses: Mapping[str, Sequence[float]], layout: Layout) -> None:
    """Draw a line for each kind of loss, with a mark for each; its label is beside it, or above with `columns`."""
    above = bool(layout.columns)
    length, middle = (0.45, 0.25) if above else (0.8, 0.0)
    lines = [line + middle for line in range(len(losses))]
    axes.eventplot(list(losses.values()), lineoffsets=lines, linelengths=length, linewidths=1.1, colors=BAD)
    for line, (what, times) in enumerate(losses.items()):
        axes.annotate(f"{what}: {len(times):,}", (0.0 if above else 1.0, line - (0.25 if above else 0)),
                      xycoords=("axes fraction", "data"), xytext=(2 if above else 8, 0), textcoords="offset points",
                      va="center", color=BAD, fontsize=8)  # fmt: skip
    axes.set_ylim(len(losses) - 0.5, -0.5)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def _nodes(axes: Any, shown: Timeline, layout: Layout) -> None:
    styles = zip(shown.nodes, cycle(_COLOURS), cycle(_HATCHES), strict=False)
    _stack(axes, shown, dict(zip(styles, shown.nodes.values(), strict=True)))
    axes.set_ylabel("requests/s\nby node")
    if shown.nodes:
        _legend(axes, layout)


def _stack(axes: Any, shown: Timeline, series: Mapping[tuple[str, str, str], Sequence[float]]) -> None:
    """Draw series on top of each other, by label, colour and hatch."""
    edges = [*shown.times, shown.times[-1] + shown.step]
    below = [0.0] * len(shown.times)
    for (label, colour, hatch), rates in series.items():
        above = [low + rate for low, rate in zip(below, rates, strict=True)]
        axes.stairs(above, edges, baseline=below, fill=True, facecolor=colour, edgecolor="white", hatch=hatch,
                    linewidth=0, label=label)  # fmt: skip
        below = above


def _latency(axes: Any, shown: Timeline, layout: Layout) -> None:
    middles = [time + shown.step / 2 for time in shown.times]
    axes.plot(middles, shown.p50, "-", color="#0072b2", linewidth=1.3, label="median")
    axes.plot(middles, shown.p99, "--", color="#d55e00", linewidth=1.1, label="p99")
    bad = [(at, took) for at, took, good in shown.probes if not good]
    if bad:
        axes.plot(*zip(*bad, strict=True), "|", color=_INK, markersize=7, label="probe without a good answer")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_ylabel("latency, ms")
    _legend(axes, layout)


def _say_when(axes: Any, marks: Marks, layout: Layout) -> None:
    """Name the lines: above the picture, or within it where legends are above."""
    inside = bool(layout.columns)
    bottom, above = (0.0, "bottom"), (1.0, "bottom")
    times = []
    if marks.fault is not None:
        times = [(marks.fault[0], "fault", "left"), *([(marks.fault[1], "undone", "right")] if marks.undone else [])]
    places = [(*each, *(bottom if inside else above)) for each in times]
    if marks.arrived is not None:
        side = "left" if inside or marks.fault is None else "right"
        places.append((marks.arrived, "all users are there", side, 1.0, "top" if inside else "bottom"))
    for at, what, side, height, edge in places:
        axes.annotate(what, (at, height), xycoords=("data", "axes fraction"), ha=side, va=edge, color=_INK,
                      xytext=(3 if side == "left" else -3, -3 if edge == "top" else 3), textcoords="offset points",
                      fontsize=8)  # fmt: skip


def _legend(axes: Any, layout: Layout, columns: int | None = None) -> None:
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    if layout.columns:
        place = {
            "loc": "lower left",
            "bbox_to_anchor": (0.0, 1.0),
            "ncols": columns or layout.columns,
            "columnspacing": 1.0,
        }
    axes.legend(**place, frameon=False, fontsize=8, handlelength=1.6, borderpad=0.2)


def _with_dark_colours(svg: str) -> str:
    """Return the SVG with other colours for a dark page, which it learns from the browser."""
    rules = "".join(
        f'[style*="{name}: {colour}"]{{{name}:{dark}!important}}'
        for colour, dark in _DARK.items()
        for name in ("fill", "stroke")
    )
    style = f"<style>@media screen and (prefers-color-scheme: dark){{{rules}}}</style>"
    head, svg_tag, rest = svg.partition("<svg")
    opening, close, body = rest.partition(">")
    return f"{head}{svg_tag}{opening}{close}{style}{body}"
