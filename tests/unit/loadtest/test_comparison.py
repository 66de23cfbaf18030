"""The page of a comparison: its table, its reasons, and what it says first."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from deploy import Cluster, ClusterError, ClusterSpec
from loadtest.checker import Kind
from loadtest.comparison import Comparison, System
from loadtest.report.comparison import OURS, compare, render_comparison
from loadtest.results import RESULT, read_results
from loadtest.suite import SuiteLoad
from tests.support.report_results import Run

OTHER = "Django 5.2, sessions in the cache"
WRITES = Run(name="concurrent-writes", number=15, variant="redis", title="concurrent writes", fault="nothing")
OUTAGE = Run(name="store-outage", number=14, title="the store down for everyone", fault="cut the network to the store")


def table_of(page: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]


def test_a_cell_has_the_median_the_range_and_the_number_of_runs(tmp_path: Path) -> None:
    for run, gap in enumerate((1.0, 2.0, 3.0), 1):
        replace(OUTAGE, run=run, gap=gap).write(tmp_path)
        replace(OUTAGE, run=run, gap=2.0, node=OTHER, lost=10).write(tmp_path)
    page = render_comparison(tmp_path)
    head, ours, other = table_of(page)
    assert head == ["system", "the store down for everyone"]
    assert ours[0] == OURS
    assert "0 of 1 users logged out; gap 2.00 s (1.00 s to 3.00 s), slowest answer 0.0 s" in ours[1]
    assert other[0] == OTHER
    assert other[1].startswith("**1** of 1 users logged out; gap 2.00 s")
    assert all(cell.endswith("; 3 runs of 119 requests") for cell in (ours[1], other[1]))


def test_a_reason_is_told_where_its_result_was_measured(tmp_path: Path) -> None:
    OUTAGE.write(tmp_path)
    replace(OUTAGE, node=OTHER, lost=10).write(tmp_path)
    told = compare(read_results(tmp_path).results)
    assert [reason.partition(":")[0] for reason in told.reasons(OURS)] == ["Store down"]
    (reason,) = told.reasons(OTHER)
    assert "any error of the cache counts as a session that does not exist" in reason
    replace(OUTAGE, node=OTHER, run=2).write(tmp_path / "none")
    OUTAGE.write(tmp_path / "none")
    assert compare(read_results(tmp_path / "none").results).reasons(OTHER) == []


@pytest.mark.parametrize(("theirs", "ours", "better"), [(1.0, 2.0, True), (1.9, 2.0, False), (2.0, 1.0, False)])
def test_what_a_target_does_better_comes_first(tmp_path: Path, theirs: float, ours: float, better: bool) -> None:
    replace(OUTAGE, gap=ours).write(tmp_path)
    replace(OUTAGE, gap=theirs, node=OTHER).write(tmp_path)
    page = render_comparison(tmp_path)
    first = page[page.index("## Where others do better") : page.index("## The table")]
    assert (f"{OTHER} has 1.00 s without a good answer against 2.00 s here." in first) == better
    assert ("In none of these cells" in first) == (not better)


def test_another_fault_is_said_where_figures_are_compared(tmp_path: Path) -> None:
    replace(OUTAGE, gap=2.0).write(tmp_path)
    replace(OUTAGE, gap=0.0, node=OTHER, fault="pause the store", lost=10).write(tmp_path)
    page = render_comparison(tmp_path)
    assert table_of(page)[2][1].endswith("; 1 run of 119 requests; fault: pause the store")
    first = page[page.index("## Where others do better") : page.index("## The table")]
    assert "against 2.00 s here, with another fault (pause the store); but also 1 users logged out." in first


def test_a_cell_without_results_says_so(tmp_path: Path) -> None:
    OUTAGE.write(tmp_path)
    Run().write(tmp_path)
    replace(OUTAGE, node=OTHER).write(tmp_path)
    assert compare(read_results(tmp_path).results).cell(OTHER, "kill-node").text == "not measured"


def test_every_command_is_on_the_page(tmp_path: Path) -> None:
    results = [OUTAGE.write(tmp_path), Run().write(tmp_path), replace(OUTAGE, node=OTHER).write(tmp_path)]
    page = render_comparison(tmp_path)
    for result in results:
        assert f"    {result.command}\n" in page


def test_a_folder_without_results_of_this_project_is_refused(tmp_path: Path) -> None:
    replace(OUTAGE, node=OTHER).write(tmp_path)
    with pytest.raises(ValueError, match="has no results of this project's nodes to compare with"):
        render_comparison(tmp_path)


@pytest.mark.parametrize(
    ("node", "key", "told"), [(OTHER, "machine", "machines"), ("flask", "versions", "versions of this project's nodes")]
)
def test_results_of_unlike_systems_are_not_compared(tmp_path: Path, node: str, key: str, told: str) -> None:
    OUTAGE.write(tmp_path)
    replace(OUTAGE, run=2, node=node).write(tmp_path)
    render_comparison(tmp_path)
    (file,) = (one for one in tmp_path.rglob(RESULT) if json.loads(one.read_bytes())["run"] == 2)
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {key: {"another": "1"}}))
    with pytest.raises(ValueError, match=f"the results are of several {told}"):
        render_comparison(tmp_path)


def test_the_versions_are_those_of_a_run_that_was_measured(tmp_path: Path) -> None:
    OUTAGE.write(tmp_path)
    replace(OUTAGE, run=2).write(tmp_path)
    (file,) = (one for one in tmp_path.rglob(RESULT) if json.loads(one.read_bytes())["run"] == 1)
    unmeasured = {"timing": None, "findings": None, "versions": {"locust": "0"}}
    file.write_text(json.dumps(json.loads(file.read_bytes()) | unmeasured))
    assert "had locust 0;" not in render_comparison(tmp_path)


def test_of_several_reasons_the_one_of_the_very_system_is_told(tmp_path: Path) -> None:
    systems = ("Flask-Session 0.8", "Flask-Session 0.8, no refresh")
    for node in ("flask", *systems):
        replace(WRITES, node=node).write(tmp_path)
    told = compare(read_results(tmp_path).results)
    for system in systems:
        (found,) = told.cell(system, WRITES.name).found
        found.total.found[Kind.UPDATE_LOST] = 3
    (usual,), (special,) = map(told.reasons, systems)
    assert "even a reader undoes" in usual
    assert "readers undo nothing" in special


def test_losses_of_several_kinds_are_all_in_the_cell(tmp_path: Path) -> None:
    OUTAGE.write(tmp_path)
    cell = compare(read_results(tmp_path).results).cell(OURS, "store-outage")
    (found,) = cell.found
    found.total.found[Kind.REVIVED] = 3
    msgspec.structs.force_setattr(found.total, "logouts", 20)
    assert "**3** of 20 logouts undone" in cell.text


def test_the_page_says_when_it_was_measured(tmp_path: Path) -> None:
    OUTAGE.write(tmp_path)
    assert "\nMeasured on 2027-01-15, on a machine with 2 cores: compare" in render_comparison(tmp_path)


def refuse(spec: ClusterSpec) -> Cluster:
    raise ClusterError(f"no {spec.nodes} nodes here")


@pytest.mark.parametrize("run", [WRITES, replace(WRITES, lost=10), Run()])
@pytest.mark.parametrize(("there_are", "more"), [(2, 1), (3, 0)])
def test_each_experiment_has_three_runs_on_each_system(tmp_path: Path, run: Run, there_are: int, more: int) -> None:
    for number in range(1, there_are + 1):
        replace(run, run=number).write(tmp_path)
    comparison = Comparison([System(None, None)], [run.name], SuiteLoad(), tmp_path, refuse)
    results = list(comparison.run(lambda _: None))
    assert [result.reason for result in results] == ["the experiment runs: no 3 nodes here"] * more
    assert all(result.run > there_are for result in results)


def test_what_can_not_be_measured_is_tried_twice(tmp_path: Path) -> None:
    comparison = Comparison([System(None, None)], ["kill-node"], SuiteLoad(), tmp_path, refuse)
    assert [result.run for result in comparison.run(lambda _: None)] == [1, 2]
