"""The report of a folder, beside its results."""

from pathlib import Path

from loadtest.report.page import page
from loadtest.report.tables import markdown
from loadtest.results import write_all

REPORT, MARKDOWN = "report.html", "results.md"
TITLE = "Failover experiments"


class NothingToReport(ValueError):
    """The folder has no results; the message says what to do."""


def write_report(folder: Path, title: str = TITLE) -> Path:
    """Writes it, and results.json and results.md again; returns the path of the page.

    Raises NothingToReport, OSError, and ValueError for a file that is no result.
    """
    if not folder.is_dir():
        raise NothingToReport(f"there is no folder {folder}")
    results = write_all(folder).results
    if not results:
        raise NothingToReport(f"{folder} has no results: `session-cluster failover run --out {folder} NAME` makes some")
    (folder / MARKDOWN).write_text(markdown(results), encoding="utf-8")
    html = page(results, folder, title)
    part = folder / f".{REPORT}.part"
    part.write_text(html, encoding="utf-8")
    return part.replace(folder / REPORT)
