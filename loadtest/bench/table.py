"""What the bench found, as a table of 80 columns and as JSON."""

from __future__ import annotations

from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from loadtest.bench.measure import Measured, Use, half_range
from loadtest.bench.servers import APPLICATIONS, Application

AIMS = (
    ("a read", Use.READ, "flask-session", 0.25),
    ("a read", Use.READ, "express-session", 0.5),
    ("a write", Use.WRITE, "flask-session", 0.4),
)
"""What a session in Redis may add to a request, as a part of what the other one's adds."""


def added(measured: Measured, application: Application, use: Use) -> float | None:
    """Microseconds that the session adds to a request, over the framework alone."""
    own, base = measured.get(application.name, {}).get(use), measured.get(application.base, {}).get(Use.NONE)
    return None if own is None or base is None else own.median - base.median


def ratios(measured: Measured) -> list[tuple[str, float, float]]:
    """What is compared, how it came out, and what was aimed for."""
    by_name = {application.name: application for application in APPLICATIONS}
    found = []
    for what, use, other, aim in AIMS:
        ours, theirs = added(measured, by_name["redis"], use), added(measured, by_name[other], use)
        if ours is not None and theirs is not None and theirs > 0:
            found.append((f"{what}, beside {by_name[other].title}", ours / theirs, aim))
    return found


def smaller(sizes: dict[str, int]) -> list[tuple[str, int, int]]:
    """Of whom a session in Redis is to have fewer bytes: who, ours, theirs."""
    titles = {application.name: application.title for application in APPLICATIONS}
    others = [name for name in ("flask-session", "express-session") if name in sizes and "redis" in sizes]
    return [(titles[name], sizes["redis"], sizes[name]) for name in others]


def table(measured: Measured, sizes: dict[str, int], missing: dict[str, str]) -> RenderableType:
    """All rows, also of what could not be measured."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("us of CPU for a request", no_wrap=True)
    for use in Use:
        grid.add_column(use.value.replace(" ", "\n"), justify="right")
    grid.add_column("read\nadds", justify="right")
    grid.add_column("write\nadds", justify="right")
    grid.add_column("bytes", justify="right")
    for application in APPLICATIONS:
        if application.name in missing:
            grid.add_row(application.title, *["-"] * 7)
            continue
        if application.name not in measured:
            continue
        samples = measured[application.name]
        cells = [f"{samples[use].median:.0f} ±{samples[use].spread:.0f}" if use in samples else "" for use in Use]
        adds = [added(measured, application, use) for use in (Use.READ, Use.WRITE)]
        size = sizes.get(application.name)
        grid.add_row(
            application.title, *cells, *("" if one is None else f"{one:.0f}" for one in adds), str(size) if size else ""
        )
    lines = [
        f"{what}: {ratio:.2f} of what it adds there (aim: {aim:g}, {_verdict(ratio <= aim)})"
        for what, ratio, aim in ratios(measured)
    ]
    lines += [
        f"bytes, beside {title}: {ours} to {theirs} (aim: fewer, {_verdict(ours < theirs)})"
        for title, ours, theirs in smaller(sizes)
    ]
    lines += [f"{title}: not measured, {reason}" for title, reason in missing.items() if title]
    return Group(grid, "", _rates(measured), "", *lines)


def _rates(measured: Measured) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("requests a second", no_wrap=True)
    for use in Use:
        grid.add_column(use.value.replace(" ", "\n"), justify="right")
    for application in APPLICATIONS:
        if application.name in measured:
            samples = measured[application.name]
            rates = [samples[use].rate if use in samples else [] for use in Use]
            grid.add_row(
                application.title, *(f"{median(rate):.0f} ±{half_range(rate):.0f}" if rate else "" for rate in rates)
            )
    return grid


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def to_json(
    measured: Measured, sizes: dict[str, int], missing: dict[str, str], effort: dict[str, int]
) -> dict[str, Any]:
    """Every sample; CPU in microseconds for each request. A spread is half of the range."""
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
                "cpu_us_median": samples.median,
                "cpu_us_spread": samples.spread,
                "requests_per_second": samples.rate,
                "requests_per_second_median": median(samples.rate),
                "requests_per_second_spread": half_range(samples.rate),
                "added_us": added(measured, application, use),
            }
        row["session_bytes"] = sizes.get(application.name)
        rows.append(row)
    compared = [
        {"what": what, "ratio": ratio, "aim": aim, "is_met": ratio <= aim} for what, ratio, aim in ratios(measured)
    ]
    bytes_ = [
        {"beside": title, "ours": ours, "theirs": theirs, "aim": "fewer", "is_met": ours < theirs}
        for title, ours, theirs in smaller(sizes)
    ]
    return {**effort, "rows": rows, "ratios": compared, "bytes": bytes_}
