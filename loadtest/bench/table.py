"""Results of the bench, as tables of 80 columns and as JSON."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from statistics import median
from typing import Any

from rich.console import Group, RenderableType

from loadtest.bench.measure import Measured, Samples, Use, half_range, median_cpu
from loadtest.bench.servers import APPLICATIONS, Application
from loadtest.report.tables import Column, Table

AIMS = (
    ("a read", Use.READ, "flask-session", 0.25),
    ("a read", Use.READ, "express-session", 0.5),
    ("a write", Use.WRITE, "flask-session", 0.4),
)
"""Upper bounds: what a session in Redis adds to a request, relative to what the other session layer adds."""
_BY_NAME = {application.name: application for application in APPLICATIONS}


def added(measured: Measured, application: Application, use: Use) -> float | None:
    """Return the microseconds that the session adds to a request, over the framework alone."""
    own, base = median_cpu(measured, application, use), median_cpu(measured, _BY_NAME[application.base], Use.NONE)
    return None if own is None or base is None else own - base


def ratios(measured: Measured) -> list[tuple[str, float, float]]:
    """Return each comparison of AIMS: its title, the measured ratio, and the bound."""
    found = []
    for what, use, other, aim in AIMS:
        own, reference = added(measured, _BY_NAME["redis"], use), added(measured, _BY_NAME[other], use)
        if own is not None and reference is not None and reference > 0:
            found.append((f"{what}, beside {_BY_NAME[other].title}", own / reference, aim))
    return found


def smaller(sizes: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Return the layers that should need more bytes per session in Redis: title, bytes here, bytes there."""
    others = [name for name in ("flask-session", "express-session") if name in sizes and "redis" in sizes]
    return [(_BY_NAME[name].title, sizes["redis"], sizes[name]) for name in others]


def tables(measured: Measured, sizes: Mapping[str, int], missing: Mapping[str, str]) -> RenderableType:
    """Return all rows, also of applications that could not be measured, and the comparisons."""
    uses = tuple(use.value for use in Use)
    cpu, sessions = _table("us of CPU for a request", *uses), _table("a session", "read adds", "write adds", "bytes")
    rates = _table("requests a second", *uses)
    for application in APPLICATIONS:
        if application.name in missing:
            cpu.add([application.title, *["-"] * len(uses)])
        if application.name not in measured:
            continue
        samples = measured[application.name]
        cpu.add([application.title, *_cells(samples, lambda one: one.cpu)])
        if application.has_sessions:
            adds = [added(measured, application, use) for use in (Use.READ, Use.WRITE)]
            cells = ("" if one is None else f"{one:.0f}" for one in adds)
            sessions.add([application.title, *cells, str(sizes.get(application.name, ""))])
        rates.add([application.title, *_cells(samples, lambda one: one.rate)])
    lines = [
        f"{what}: {ratio:.2f} of what it adds there (aim: {aim:g}, {_verdict(ratio <= aim)})"
        for what, ratio, aim in ratios(measured)
    ]
    lines += [
        f"bytes, beside {title}: {own} to {reference} (aim: fewer, {_verdict(own < reference)})"
        for title, own, reference in smaller(sizes)
    ]
    lines += [f"{_BY_NAME[name].title}: not measured, {reason}" for name, reason in missing.items()]
    return Group(cpu.render(), "", sessions.render(), "", rates.render(), "", *lines)


def _table(title: str, *names: str) -> Table:
    return Table([Column(title, number=False), *(Column(name, name.replace(" ", "\n")) for name in names)])


def _cells(samples: Mapping[Use, Samples], values: Callable[[Samples], list[float]]) -> list[str]:
    found = [values(samples[use]) if use in samples else [] for use in Use]
    return [f"{median(one):.0f} ±{half_range(one):.0f}" if one else "" for one in found]


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def to_json(measured: Measured, sizes: Mapping[str, int], missing: Mapping[str, str]) -> dict[str, Any]:
    """Return every sample; CPU in microseconds for each request. A spread is half of the range."""
    rows = []
    for application in APPLICATIONS:
        row: dict[str, Any] = {"application": application.name, "title": application.title, "base": application.base}
        if application.name in missing:
            row["missing"] = missing[application.name]
        elif application.name not in measured:
            continue
        for use, samples in measured.get(application.name, {}).items():
            row[use.name.lower()] = {
                "cpu_us": samples.cpu,
                "cpu_us_median": median(samples.cpu),
                "cpu_us_spread": half_range(samples.cpu),
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
            {"what": what, "ratio": ratio, "aim": aim, "is_met": ratio <= aim} for what, ratio, aim in ratios(measured)
        ],
        "bytes": [
            {
                "beside": title,
                "session_cluster": own,
                "reference": reference,
                "aim": "fewer",
                "is_met": own < reference,
            }
            for title, own, reference in smaller(sizes)
        ],
    }


def list_programs(servers: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of Python, Node.js and the `servers`."""
    node = ""
    with suppress(OSError):
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return {"python": platform.python_version(), **({"node": node.removeprefix("v")} if node else {}), **servers}
