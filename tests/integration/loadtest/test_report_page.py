"""The report of a folder: whole, in one file, and the answer comes first."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from loadtest.claims.claim import Verdict
from loadtest.report.page import MARKDOWN, NothingToReport, write_report
from loadtest.results import HISTORY, RESULT
from tests.support.chromium import opened
from tests.support.report_results import Run


def write_runs(folder: Path) -> None:
    Run().write(folder)
    Run(node="express", verdict=Verdict.BROKEN, failed=7, gap=0.6).write(folder)
    Run(name="primary-killed", number=9, title="kill the primary", verdict=Verdict.NOT_ENOUGH_DATA).write(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of results without a report, to be changed."""
    write_runs(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of such a folder, written once: its pictures take seconds."""
    made = tmp_path_factory.mktemp("report")
    write_runs(made)
    return write_report(made, "Title & more")


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_what_was_lost_comes_first_in_the_report_and_then_the_verdicts(report: Path) -> None:
    page = report.read_text()
    text = text_of(page)
    lost = text.index("nobody was logged out and nothing was lost ; 7 requests failed and for 0.60 s there was no good")
    assert lost < text.index("✓ 1 as predicted") < text.index("2 · kill a node") < text.index("What it ran on")
    assert "Title &amp; more" in page
    assert text.count("two GETs failed &lt;b&gt;") == 0, "a reason belongs to its claim"
    for said in (
        "✗ not as predicted",
        "? too little data",
        "session-cluster failover run kill-node",
        "nginx 1.31.3",
        "0.60",
    ):
        assert said in text
    assert page.count("<img src=") == 3


def test_the_report_loads_nothing_from_elsewhere(report: Path) -> None:
    page = report.read_text()
    assert not re.search(r"""(?:src|srcset|href)=["'](?!data:image/svg|#)""", page)
    assert "<script" not in page
    assert "url(" not in page.partition("<body>")[0]


def test_losses_are_told_in_users_in_one_figure_everywhere(tmp_path: Path) -> None:
    result = Run(lost=3).write(tmp_path)
    assert result.findings is not None
    assert (result.findings.total.users_logged_out, result.findings.sessions_lost) == (1, 1)
    page = write_report(tmp_path, "Report").read_text()
    text = text_of(page)
    assert "✓ as predicted" in text
    assert page.count("1 of 1 users was logged out") == 3, "at the top, above the picture and in its description"
    assert page.count('<td class="n loss">1 of 1</td>') == 2, "in the table of all experiments and in that of phases"
    assert "logged out visitor-1 anonymous" in text
    assert "1 of 1 users was logged out" in (tmp_path / MARKDOWN).read_text()


def test_claims_stand_with_what_was_seen_and_empty_columns_are_left_out(report: Path, tmp_path: Path) -> None:
    text = text_of(report.read_text())
    assert "no GET fails ✓ as predicted 0 of 119 GETs failed" in text
    assert "other losses" not in text
    assert "retried" not in text
    Run(fault="nothing").write(tmp_path)
    assert "the fault" not in text_of(write_report(tmp_path, "Report").read_text())


def test_kinds_of_nodes_stand_side_by_side_only_if_there_are_several(report: Path, folder: Path) -> None:
    assert "Side by side" in report.read_text()
    shutil.rmtree(folder / "kill-node.express")
    assert "Side by side" not in write_report(folder, "Report").read_text()


def test_a_damaged_history_loses_only_its_plot(folder: Path) -> None:
    (folder / "kill-node" / "1" / HISTORY).write_bytes(b"not a history")
    (folder / "primary-killed" / "1" / HISTORY).unlink()
    page = write_report(folder, "Report").read_text()
    assert page.count("<img src=") == 1
    assert page.count("No picture: ") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [(".", "has no results; make some with `session-cluster failover run --out"), ("none", "/none does not exist")],
)
def test_a_folder_without_results_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(NothingToReport, match=message):
        write_report(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def change(document: Any, path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document[parent]
    document[name] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("timing.started", number) for number in (-1e308, 1e308, "now", None)),
        *((f"timing.{name}", -1e308) for name in ("before", "fault", "undo", "ended")),
        *(("findings.total.operations", number) for number in (10**400, 0.5)),
        ("findings.total.seconds", 1e300),
        *(("findings.phases.before.operations", number) for number in (10**400, -(10**400))),
        ("findings.sessions_lost", 10**400),
        ("generator_cpu", 1e308),
        ("name", "kill\0node"),
        ("history", "\0"),
        ("verdict", "perhaps"),
    ],
)
def test_a_damaged_result_is_one_line_with_its_name_and_nothing_is_written(folder: Path, path: str, value: Any) -> None:
    broken = folder / "kill-node" / "1" / RESULT
    document = json.loads(broken.read_text())
    change(document, path, value)
    broken.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f"^{broken} is not a result of an experiment: .+$"):
        write_report(folder, "Report")
    assert {path.name for path in folder.iterdir()} == {"kill-node", "kill-node.express", "primary-killed"}


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"name": "\xff"}', b'{"cluster": {"a": ' + b"[" * 100_000])
def test_a_file_that_is_not_a_result_is_named(folder: Path, content: bytes) -> None:
    broken = folder / "kill-node" / "1" / RESULT
    broken.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{broken} is not a result of an experiment: "):
        write_report(folder, "Report")


def test_a_result_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "kill-node" / "2" / RESULT).mkdir(parents=True)
    with pytest.raises(ValueError, match=rf"^cannot read {folder}/kill-node/2/result\.json: Is a directory$"):
        write_report(folder, "Report")


def test_a_result_of_a_newer_version_is_refused_as_a_history_is(folder: Path) -> None:
    newer = folder / "kill-node" / "1" / RESULT
    newer.write_text('{"version": 99, "new": true}')
    with pytest.raises(
        ValueError, match=f"^{newer}: version must be at most 1, not 99; use the program that wrote it$"
    ):
        write_report(folder, "Report")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1100, 390])
def test_the_report_is_whole_at_any_width_without_a_network(browser: Browser, report: Path, width: int) -> None:
    with opened(browser, report.as_uri(), offline=True, viewport={"width": width, "height": 800}) as page:
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
        page.get_by_role("link", name="kill the primary").click()
        assert page.url.endswith("#primary-killed")
