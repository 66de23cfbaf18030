"""Several runs of one experiment are one row: the worst verdict, medians with their range."""

from pathlib import Path

from loadtest.failover.cases import cases_of
from loadtest.report.sentences import what_happened
from loadtest.verdict import Verdict
from tests.support.report_results import Run


def test_the_worst_run_decides_and_figures_are_medians_with_their_range(tmp_path: Path) -> None:
    runs = [
        Run(run=1).write(tmp_path),
        Run(run=2, verdict=Verdict.BROKEN, failed=4, gap=0.5).write(tmp_path),
        Run(run=3, verdict=Verdict.NOT_ENOUGH_DATA, failed=1, gap=0.25).write(tmp_path),
    ]
    (case,) = cases_of(runs)
    assert case.worst.run == 2
    assert case.failed == "1 (0 to 4)"
    assert case.gap == "0.25 (0.00 to 0.50)"
    assert case.sessions_lost == "0"


def test_variants_and_other_peoples_nodes_are_rows_of_their_own_in_the_order_of_the_experiments(tmp_path: Path) -> None:
    runs = [
        Run(name="primary-killed", number=9).write(tmp_path),
        Run(node="express").write(tmp_path),
        Run().write(tmp_path),
    ]
    assert [(case.first.number, case.node) for case in cases_of(runs)] == [(2, "flask"), (2, "express"), (9, "flask")]
    assert len({case.anchor for case in cases_of(runs)}) == 3


def test_two_sentences_say_what_happened(tmp_path: Path) -> None:
    well = what_happened(Run().write(tmp_path))
    assert well.startswith("1 users sent 119 requests (")
    assert "after 4 s: kill node-2, for 4 s." in well
    assert "No session, no update and no logout was lost" in well
    assert well.endswith("No request failed.")
    badly = what_happened(Run(run=2, failed=1, gap=0.5).write(tmp_path))
    assert badly.endswith("1 request failed and for 0.50 s no probe had a good answer.")
    assert "after" not in what_happened(Run(run=3, fault="nothing").write(tmp_path)).split(".")[0]
