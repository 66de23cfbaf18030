"""The report of a folder of results: one HTML file that opens offline, results.json and results.md beside it."""

import base64
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy import NodeKind, StoreKind
from deploy.files import write_atomically, write_json
from loadtest.checker import Kind, Losses, list_losses
from loadtest.checker.phases import DURING
from loadtest.experiment import BEFORE
from loadtest.faults import NOTHING
from loadtest.history import Header, HistoryError, Op, read
from loadtest.report.korean import CATALOGUE
from loadtest.report.sentences import summarize, tell, tell_unseen
from loadtest.report.tables import BUSY_GENERATOR, MARKS, SATURATED, make_markdown
from loadtest.results import RESULTS, CaseResults, Result, group_by_case, read_results

REPORT, MARKDOWN = "report.html", "results.md"
TITLE = "Failover experiments"
_MARGIN = 0.25
"""Seconds that are shown before the first request and after the last phase."""
_UNSET: tuple[Any, ...] = (None, False, "", {}, [])
_FAULTLESS = {BEFORE: "warm-up", DURING: "measured"}
"""Names of phases in a run without a fault."""
HAPPENED = {
    Kind.SESSION_LOST: "logged out",
    Kind.UPDATE_LOST: "update lost",
    Kind.EMPTYING_UNDONE: "emptied cart full again",
    Kind.STALE_READ: "old value shown",
    Kind.MISDIRECTED: "write in another session",
    Kind.REVIVED: "logout undone",
    Kind.PASSWORD_UNDONE: "change of password undone",
    Kind.CROSSED: "data of another user",
}
"""What happened to the user, by what it proves."""


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
    (folder / MARKDOWN).write_text(make_markdown(results), encoding="utf-8")
    return write_atomically(folder / REPORT, page, 0o644)


def render_page(results: Sequence[Result], folder: Path, title: str, language: str = "en") -> str:
    """Return the HTML. Histories are read below `folder`, and where one is damaged the page has a sentence for it.

    In Korean (`ko`) the values of settings and the messages of other programs stay English.
    """
    translate = CATALOGUE.to_korean if language == "ko" else str
    cases = group_by_case(results)
    environment = Environment(
        loader=PackageLoader("loadtest.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["percent"] = lambda share: f"{share:.0%}"
    environment.filters["when"] = lambda at: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    environment.filters["ms"] = lambda value: f"{value:,.0f}"
    return environment.get_template("report.html").render(
        language=language,
        _=translate,
        title=translate(title),
        results=results,
        cases=cases,
        verdicts=Counter(case.worst.verdict for case in cases),
        marks=MARKS,
        shown={
            "other": any(case.other_losses for case in cases),
            "gap": any(case.gap != "-" for case in cases),
            "reference": any(case.first.reference for case in cases),
        },
        versions=_in_common([result.versions for result in results]),
        machine=_in_common([result.machine for result in results]),
        began=min((result.timing.started for result in results if result.timing), default=None),
        side_by_side=_side_by_side(cases),
        tell=tell,
        read_evidence=lambda result: _read_evidence(result, folder, translate if language == "ko" else None),
        what_happened=summarize,
        tell_unseen=tell_unseen,
        list_examples=list_examples,
        describe=_describe,
        nothing=NOTHING.what,
        phases=lambda result: _FAULTLESS if result.fault == NOTHING.what else {},
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


@dataclass(frozen=True)
class Exhibit:
    """The part of a history on the page: a picture for a wide page and one for a narrow page, and all that was lost."""

    wide: str = ""
    narrow: str = ""
    missing: str = ""
    """The reason for a page without a picture."""
    losses: Losses | None = None
    is_whole: bool = True
    """Whether the history was kept from its beginning."""


def _read_evidence(result: Result, folder: Path, translate: Callable[[str], str] | None) -> Exhibit:
    timing = result.timing
    if timing is None or result.findings is None:
        return Exhibit(missing="Nothing was measured, so there is nothing to show.")
    history = folder / result.folder / result.history
    try:
        losses = list_losses(read(history, partial=True))
        first, since = _find_begin(history)
    except HistoryError as error:
        return Exhibit(missing=f"No picture: {error}")
    try:
        from loadtest.report.plots import NARROW, WIDE, Marks, draw, make_timeline
    except ImportError:
        missing = "No picture: matplotlib is not installed; session-cluster[report] brings it."
        return Exhibit(missing=missing, losses=losses)
    zero, end = timing.fault, timing.ended + _MARGIN
    begin = min(timing.before if since is None else since, first) - _MARGIN
    found = {
        words: [one.at - zero for one in losses.evidence if one.kind is kind for _ in range(one.count)]
        for kind, words in HAPPENED.items()
    }
    marks = Marks(
        fault=None if result.fault == NOTHING.what else (0.0, timing.undo - zero),
        undone=timing.undo < timing.ended,
        arrived=timing.before - zero,
        losses=found,
    )
    shown = make_timeline(read(history, partial=True), begin, end, zero, losses.logged_out)
    wide, narrow = (_as_address(draw(shown, marks, layout, translate)) for layout in (WIDE, NARROW))
    return Exhibit(wide=wide, narrow=narrow, losses=losses, is_whole=since is None)


def _find_begin(history: Path) -> tuple[float, float | None]:
    """Return when the first operation of a history began, and since when it was kept; None: all of it was."""
    first, since = math.inf, None
    for event in read(history, partial=True):
        if isinstance(event, Op):
            first = min(first, event.started)
        elif isinstance(event, Header):
            since = event.since
    return first, since


def _as_address(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def list_examples(result: Result) -> list[dict[str, Any]]:
    """Return the earliest losses of each kind, in seconds after the fault or the begin of the measurement."""
    found, timing = result.findings, result.timing
    if found is None or timing is None:
        return []
    every = sorted((one for of_kind in found.examples.values() for one in of_kind), key=lambda one: one.at)
    return [
        {
            "at": f"{one.at - timing.fault:+.2f}",
            "happened": HAPPENED[one.kind],
            "who": one.who,
            "what": one.what,
            "requests": result.find_requests(one),
        }
        for one in every
    ]


def _describe(cluster: Mapping[str, Any]) -> dict[str, str]:
    """Return what the cluster has, without what it has not."""
    given = {
        name: {each: one for each, one in value.items() if one not in _UNSET} if isinstance(value, Mapping) else value
        for name, value in cluster.items()
    }
    given = {name: value for name, value in given.items() if value not in _UNSET}
    if given.get("store") != StoreKind.SQL:
        given.pop("database", None)
    return {
        name.replace("_", " "): ", ".join(f"{each}: {one}" for each, one in value.items())
        if isinstance(value, Mapping)
        else str(value)
        for name, value in given.items()
    }


def _in_common(mappings: Sequence[Any]) -> dict[str, str]:
    """Return the entries that all mappings have in common, for the head of the page."""
    if not mappings:
        return {}
    first, *others = mappings
    return {str(name): str(value) for name, value in first.items() if all(one.get(name) == value for one in others)}
