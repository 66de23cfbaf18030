"""The report of a folder of results: one HTML file that opens offline, results.json and results.md beside it."""

import base64
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy import NodeKind
from deploy.files import write_atomically, write_json
from loadtest.checker import Findings
from loadtest.faults import NOTHING
from loadtest.history import HistoryError, read
from loadtest.report.tables import BUSY_GENERATOR, MARKS, SATURATED, make_experiment_table
from loadtest.results import RESULTS, CaseResults, Result, group_by_case, read_results

REPORT, MARKDOWN = "report.html", "results.md"
TITLE = "Failover experiments"
_MARGIN = 0.5
"""Seconds that are shown before the first phase and after the last."""


class NothingToReport(ValueError):
    """The folder has no results; the message has the fix."""


def write_report(folder: Path, title: str = TITLE) -> Path:
    """Write the page, and results.json and results.md again; return the path of the page.

    Raises NothingToReport, OSError, and ValueError for a file that is not a result.
    """
    if not folder.is_dir():
        raise NothingToReport(f"{folder} is not a folder" if folder.exists() else f"folder {folder} does not exist")
    found = read_results(folder)
    if not (results := found.results):
        raise NothingToReport(
            f"{folder} has no results; make some with `session-cluster failover run --out {folder} NAME`"
        )
    page = render_page(results, folder, title).encode()
    write_json(folder / RESULTS, found)
    (folder / MARKDOWN).write_text(make_experiment_table(results).markdown(), encoding="utf-8")
    return write_atomically(folder / REPORT, page, 0o644)


def render_page(results: Sequence[Result], folder: Path, title: str) -> str:
    """Return the HTML. Histories are read below `folder`, and where one is damaged the page has a sentence for it."""
    cases = group_by_case(results)
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
        verdicts=Counter(case.worst.verdict for case in cases),
        marks={verdict: mark for verdict, (mark, *_) in MARKS.items()},
        versions=_in_common([result.versions for result in results]),
        machine=_in_common([result.machine for result in results]),
        began=min((result.timing.started for result in results if result.timing), default=None),
        side_by_side=_side_by_side(cases),
        plot=lambda result: _plot(result, folder),
        what_happened=summarize,
        evidence=_evidence,
        saturated=SATURATED,
        busy_generator=BUSY_GENERATOR,
    )


def _side_by_side(cases: Sequence[CaseResults]) -> dict[str, Any] | None:
    """Return experiments that ran on several kinds of node: a row each, a column for each kind. None if none did."""
    nodes = sorted({case.node for case in cases}, key=lambda node: (node != NodeKind.FLASK, node))
    if len(nodes) < 2:
        return None
    rows: dict[str, dict[str, CaseResults]] = {}
    for case in cases:
        rows.setdefault(case.first.title, {})[case.node] = case
    return {"nodes": nodes, "rows": {title: row for title, row in rows.items() if len(row) > 1}}


def _plot(result: Result, folder: Path) -> dict[str, str]:
    """Return the picture as a data URL, or the reason why there is none."""
    timing, found = result.timing, result.findings
    if timing is None or found is None:
        return {"none": "Nothing was measured, so there is nothing to show."}
    try:
        from loadtest.report.plots import draw, make_timeline
    except ImportError:
        return {"none": "No picture: matplotlib is not installed; session-cluster[report] brings it."}
    try:
        events = list(read(folder / result.folder / result.history, partial=True))
    except HistoryError as error:
        return {"none": f"No picture: {error}"}
    begin, end, zero = timing.before - _MARGIN, timing.ended + _MARGIN, timing.fault
    losses = sorted(one.at - zero for of_kind in found.examples.values() for one in of_kind)
    fault = None if result.fault == NOTHING.what else (0.0, timing.undo - zero)
    svg = draw(make_timeline(events, begin, end, zero), fault, losses)
    return {"source": "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()}


def _evidence(result: Result) -> list[dict[str, Any]]:
    """Return examples of the losses, the earliest first, with times after the fault."""
    found, timing = result.findings, result.timing
    if found is None or timing is None:
        return []
    every = sorted((one for of_kind in found.examples.values() for one in of_kind), key=lambda one: one.at)
    return [
        {"at": f"{one.at - timing.fault:+.2f} s", "kind": str(one.kind), "who": one.who, "what": one.what}
        for one in every
    ]


def _in_common(mappings: Sequence[Any]) -> dict[str, str]:
    """Return the entries that all mappings have in common, for the head of the page."""
    if not mappings:
        return {}
    first, *others = mappings
    return {str(name): str(value) for name, value in first.items() if all(one.get(name) == value for one in others)}


def summarize(result: Result) -> str:
    """Return two sentences: the load and the fault, and what was lost."""
    if result.findings is None or result.timing is None:
        return f"Nothing was measured: {result.reason}."
    timing, total = result.timing, result.findings.total
    load = f"{result.users} users sent {total.operations:,} requests ({total.rate:.0f}/s)"
    fault = f"; after {timing.fault - timing.before:.0f} s: {result.fault}, for {timing.undo - timing.fault:.0f} s"
    first = f"{load}{'' if result.fault == NOTHING.what else fault}."
    return f"{first} {_lost(result.findings)} {_served(result.findings)}"


def _lost(found: Findings) -> str:
    losses = {
        "session": found.sessions_lost,
        "update": found.updates_lost,
        "stale answer": found.stale_reads,
        "revived logout": found.revived,
        "misdirected write": found.misdirected,
        "undone password change": found.passwords_undone,
        "crossed answer": found.crossed,
    }
    parts = [f"{count:,} {what}{'s' if count != 1 else ''}" for what, count in losses.items() if count]
    if not parts:
        return "No session, no update and no logout was lost, and no user saw data of another user."
    share = f" ({found.total.share_logged_out:.0%} of the answers to logged-in users said that they are not)"
    return f"Lost or wrong: {', '.join(parts)}{share if found.sessions_lost else ''}."


def _served(found: Findings) -> str:
    failed = (
        f"{found.total.failed:,} request{'s' if found.total.failed != 1 else ''} failed" if found.total.failed else ""
    )
    gap = f"for {found.gap:.2f} s no probe had a good answer" if found.gap else ""
    parts = " and ".join(filter(None, (failed, gap)))
    return f"{parts[0].upper()}{parts[1:]}." if parts else "No request failed."
