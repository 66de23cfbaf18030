"""Results of the bench, as tables of 80 columns and as JSON."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from statistics import median, quantiles
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from deploy.local.revision import EARLIER
from loadtest.bench.measure import Measured, Samples, Use, half_range
from loadtest.bench.servers import APPLICATIONS, Application
from loadtest.report.tables import Column, Table

_BY_NAME = {application.name: application for application in APPLICATIONS}
OURS = "redis"


class CostKind(Enum):
    """The figure of a request whose ratio a goal bounds."""

    ADDED = "CPU time over that of the framework alone"
    WHOLE = "CPU time"
    RATE = "requests for each CPU second, of which more are better"
    REDIS = "CPU time of the Redis"


@dataclass(frozen=True)
class Goal:
    """A bound of a ratio between two applications, with one number of connections."""

    what: str
    uses: tuple[Use, ...]
    """The uses of the session whose costs are added up."""
    other: str
    connections: int
    bound: float
    cost: CostKind = CostKind.ADDED
    own: str = OURS

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.cost is CostKind.RATE else ratio <= self.bound

    def ratio(self, own: Mapping[str, float], other: Mapping[str, float]) -> float | None:
        """Return the ratio of CPU times, each by `session` and `base`; None where one can't be told."""
        if self.cost is CostKind.RATE:
            own, other = other, own
        cost, reference = (
            each["session"] - (each["base"] if self.cost is CostKind.ADDED else 0.0) for each in (own, other)
        )
        return cost / reference if reference > 0 else None


_READ, _WRITE = (Use.READ,), (Use.WRITE,)
_RATE = "requests with a read for each CPU second"
GOALS = (
    Goal("a read adds", _READ, "flask-session", 4, 0.25),
    Goal("a read adds", _READ, "flask-session", 1, 0.25),
    Goal("a write adds", _WRITE, "flask-session", 4, 0.4),
    Goal("a write adds", _WRITE, "flask-session", 1, 0.65),
    Goal(_RATE, _READ, "express-session", 4, 1.1, CostKind.RATE),
    Goal(_RATE, _READ, "express-session", 1, 1.1, CostKind.RATE),
    Goal("CPU of GET /me", _READ, f"node-{EARLIER}", 4, 0.7, CostKind.WHOLE, "node"),
    Goal("CPU of GET /me", _READ, f"node-{EARLIER}", 1, 0.7, CostKind.WHOLE, "node"),
    Goal("the Redis' CPU of a read and a write", (Use.READ, Use.WRITE), f"redis-{EARLIER}", 4, 0.6, CostKind.REDIS),
    Goal("the Redis' CPU of a read and a write", (Use.READ, Use.WRITE), f"redis-{EARLIER}", 1, 0.6, CostKind.REDIS),
)


@dataclass(frozen=True)
class Ratio:
    """A measured ratio: that of the medians, and the quartiles of the repetitions."""

    goal: Goal
    value: float
    low: float
    high: float

    @property
    def title(self) -> str:
        plural = "" if self.goal.connections == 1 else "s"
        title = _BY_NAME[self.goal.other].title
        return f"{self.goal.what}, beside {title}, {self.goal.connections} connection{plural}"

    def __str__(self) -> str:
        verdict = _verdict(self.goal.is_met(self.value))
        bound = f"at {'least' if self.goal.cost is CostKind.RATE else 'most'} {self.goal.bound:g}"
        return f"{self.title}: {self.value:.2f} ({self.low:.2f} to {self.high:.2f}; goal: {bound}, {verdict})"


def ratios(runs: Mapping[int, Measured]) -> list[Ratio]:
    """Return the ratio of each goal that was measured."""
    found = []
    for goal in GOALS:
        measured = runs.get(goal.connections, {})
        of_redis = goal.cost is CostKind.REDIS
        sides = [_rounds(measured, _BY_NAME[name], goal.uses, of_redis) for name in (goal.own, goal.other)]
        values = [ratio for own, other in zip(*sides, strict=False) if (ratio := goal.ratio(own, other)) is not None]
        value = goal.ratio(*map(_medians, sides)) if all(sides) else None
        if value is not None and values:
            low, _, high = quantiles(values * 2 if len(values) == 1 else values, n=4, method="inclusive")
            found.append(Ratio(goal, value, low, high))
    return found


def _rounds(
    measured: Measured, application: Application, uses: Sequence[Use], of_redis: bool = False
) -> list[dict[str, float]]:
    """Return the CPU of one request with each use, of each repetition, and of the framework alone."""
    samples = [measured.get(application.name, {}).get(use, Samples()) for use in uses]
    session = map(sum, zip(*(one.redis if of_redis else one.cpu for one in samples), strict=False))
    base = measured.get(application.base, {}).get(Use.NONE, Samples()).cpu
    return [{"session": one, "base": other} for one, other in zip(session, base, strict=False)]


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in rounds) for name in ("session", "base")}


def added(measured: Measured, application: Application, use: Use) -> float | None:
    """Return the microseconds that the session adds to a request, over the framework alone. None for a node."""
    rounds = [] if application.is_node else _rounds(measured, application, (use,))
    medians = _medians(rounds) if rounds else None
    return None if medians is None else medians["session"] - medians["base"]


def sizes_beside(sizes: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Return the layers that should not need fewer bytes for a session in Redis: title, bytes here, bytes there."""
    others = [name for name in ("flask-session", "express-session") if name in sizes and OURS in sizes]
    return [(_BY_NAME[name].title, sizes[OURS], sizes[name]) for name in others]


def tables(runs: Mapping[int, Measured], sizes: Mapping[str, int], missing: Mapping[str, str]) -> RenderableType:
    """Return all rows, also of applications that could not be measured, and the comparisons."""
    parts: list[RenderableType] = []
    for connections, measured in runs.items():
        parts += [*_tables(connections, measured, sizes, missing)]
    lines = [str(ratio) for ratio in ratios(runs)]
    lines += [
        f"bytes, beside {title}: {own} to {reference}, {own / reference:.2f} (goal: at most 1,"
        f" {_verdict(own <= reference)})"
        for title, own, reference in sizes_beside(sizes)
    ]
    lines += [f"{_BY_NAME[name].title}: not measured, {reason}" for name, reason in missing.items()]
    return Group(*parts, *map(Text, lines))


def _tables(
    connections: int, measured: Measured, sizes: Mapping[str, int], missing: Mapping[str, str]
) -> Sequence[RenderableType]:
    uses = tuple(use.value for use in Use)
    where = f"{connections} connection{'' if connections == 1 else 's'}"
    cpu, rates = _table(f"us of CPU for a request, {where}", *uses), _table(f"requests a second, {where}", *uses)
    sessions = _table(f"a session, {where}", "read adds", "write adds", "Redis read", "Redis write", "bytes")
    for application in APPLICATIONS:
        if application.name in missing:
            cpu.add([application.title, *["-"] * len(uses)])
        if application.name not in measured:
            continue
        samples = measured[application.name]
        cpu.add([application.title, *_cells(samples, lambda one: one.cpu)])
        if application.has_sessions and not application.is_node:
            adds = [added(measured, application, use) for use in (Use.READ, Use.WRITE)]
            redis = [median(samples[use].redis or [0.0]) if use in samples else 0.0 for use in (Use.READ, Use.WRITE)]
            cells = ["" if one is None else f"{one:.0f}" for one in adds] + [
                f"{one:.0f}" if one else "" for one in redis
            ]
            sessions.add([application.title, *cells, str(sizes.get(application.name, ""))])
        rates.add([application.title, *_cells(samples, lambda one: one.rate)])
    return [cpu.render(), "", sessions.render(), "", rates.render(), ""]


def _table(title: str, *names: str) -> Table:
    return Table(
        [
            Column(title, title.replace(", ", ",\n"), number=False),
            *(Column(name, name.replace(" ", "\n")) for name in names),
        ]
    )


def _cells(samples: Mapping[Use, Samples], values: Callable[[Samples], list[float]]) -> list[str]:
    found = [values(samples[use]) if use in samples else [] for use in Use]
    return [f"{median(one):.0f} ±{half_range(one):.0f}" if one else "" for one in found]


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def to_json(runs: Mapping[int, Measured], sizes: Mapping[str, int], missing: Mapping[str, str]) -> dict[str, Any]:
    """Return every sample; CPU in microseconds for each request. A spread is half of the range."""
    rows = []
    for connections, measured in runs.items():
        for application in APPLICATIONS:
            row: dict[str, Any] = {
                "application": application.name,
                "title": application.title,
                "base": application.base,
            }
            row["connections"] = connections
            if application.name in missing:
                row["missing"] = missing[application.name]
            elif application.name not in measured:
                continue
            for use, samples in measured.get(application.name, {}).items():
                row[use.name.lower()] = {
                    "cpu_us": samples.cpu,
                    "cpu_us_median": median(samples.cpu),
                    "cpu_us_spread": half_range(samples.cpu),
                    "redis_cpu_us": samples.redis,
                    "requests_per_second": samples.rate,
                    "requests_per_second_median": median(samples.rate),
                    "requests_per_second_spread": half_range(samples.rate),
                    "added_us": added(measured, application, use),
                }
            row["session_bytes"] = sizes.get(application.name)
            rows.append(row)
    return {
        "rows": rows,
        "ratios": [
            {
                "what": ratio.title,
                "ratio": ratio.value,
                "quartiles": [ratio.low, ratio.high],
                "goal": ratio.goal.bound,
                "is_met": ratio.goal.is_met(ratio.value),
            }
            for ratio in ratios(runs)
        ],
        "bytes": [
            {"beside": title, "session_cluster": own, "reference": reference, "goal": 1, "is_met": own <= reference}
            for title, own, reference in sizes_beside(sizes)
        ],
    }


def list_programs(servers: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of Python, Node.js and the `servers`."""
    node = ""
    with suppress(OSError):
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return {"python": platform.python_version(), **({"node": node.removeprefix("v")} if node else {}), **servers}
