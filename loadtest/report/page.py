"""The report of a folder of results: one HTML file without anything outside of it."""

import base64
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy import NodeKind
from loadtest.failover.cases import CaseResults, cases_of
from loadtest.history import HistoryError, read
from loadtest.report.sentences import NOTHING, what_happened
from loadtest.report.timeline import timeline
from loadtest.results import Result
from loadtest.verdict import Verdict

MARKS = {Verdict.HOLDS: "✓", Verdict.NOT_ENOUGH_DATA: "?", Verdict.BROKEN: "✗"}
_MARGIN = 0.5
"""Seconds that are shown before the first phase and after the last."""


def page(results: Sequence[Result], folder: Path, title: str = "Failover experiments") -> str:
    """The HTML. The histories lie under `folder`; where one cannot be read, the page says so in place of its plot."""
    cases = cases_of(results)
    environment = Environment(
        loader=PackageLoader("loadtest.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["percent"] = lambda share: f"{share:.0%}"
    environment.filters["when"] = lambda at: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    environment.filters["ms"] = lambda value: f"{value:,.0f}"
    return environment.get_template("report.html").render(
        title=title,
        results=results,
        cases=cases,
        verdicts=[(verdict, MARKS[verdict], count) for verdict, count in _verdicts(cases)],
        marks=MARKS,
        versions=_common([result.versions for result in results]),
        machine=_common([result.machine for result in results]),
        began=min((result.timing.started for result in results if result.timing), default=None),
        side_by_side=_side_by_side(cases),
        plot=lambda result: _plot(result, folder),
        what_happened=what_happened,
        evidence=_evidence,
    )


def _verdicts(cases: Sequence[CaseResults]) -> list[tuple[Verdict, int]]:
    counted = Counter(case.worst.verdict for case in cases)
    return [(verdict, counted[verdict]) for verdict in Verdict if counted[verdict]]


def _side_by_side(cases: Sequence[CaseResults]) -> dict[str, Any] | None:
    """The same experiments with other people's nodes: a row each, a column for each kind. None where all are ours."""
    nodes = sorted({case.node for case in cases}, key=lambda node: (node != NodeKind.FLASK, node))
    if len(nodes) < 2:
        return None
    rows: dict[str, dict[str, CaseResults]] = {}
    for case in cases:
        rows.setdefault(case.first.title, {})[case.node] = case
    return {"nodes": nodes, "rows": {title: row for title, row in rows.items() if len(row) > 1}}


def _plot(result: Result, folder: Path) -> dict[str, str]:
    """The picture as a data address, or why there is none."""
    timing, found = result.timing, result.findings
    if timing is None or found is None:
        return {"none": "Nothing was measured, so there is nothing to show."}
    try:
        from loadtest.report.plots import draw
    except ImportError:
        return {"none": "No picture: matplotlib is not installed; session-cluster[report] brings it."}
    try:
        events = list(read(folder / result.folder / result.history, partial=True))
    except HistoryError as error:
        return {"none": f"No picture: {error}"}
    begin, end, zero = timing.before - _MARGIN, timing.ended + _MARGIN, timing.fault
    losses = sorted(one.at - zero for of_kind in found.examples.values() for one in of_kind)
    svg = draw(
        timeline(events, begin, end, zero), (0.0, timing.undo - zero) if result.fault != NOTHING else None, losses
    )
    return {"source": "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()}


def _evidence(result: Result) -> list[dict[str, Any]]:
    """Some of what was found wrong, the earliest first, with times after the fault."""
    found, timing = result.findings, result.timing
    if found is None or timing is None:
        return []
    every = sorted((one for of_kind in found.examples.values() for one in of_kind), key=lambda one: one.at)
    return [
        {"at": f"{one.at - timing.fault:+.2f} s", "kind": str(one.kind), "who": one.who, "what": one.what}
        for one in every
    ]


def _common(of_each: Sequence[Any]) -> dict[str, str]:
    """What all of them share, for the head of the page."""
    if not of_each:
        return {}
    return {
        str(name): str(value) for name, value in of_each[0].items() if all(one.get(name) == value for one in of_each)
    }
