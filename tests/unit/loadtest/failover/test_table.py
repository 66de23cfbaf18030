"""What people read at the end: complete at 80 columns, with a reason for whatever did not hold."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from loadtest.experiment import Case
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.failover.judge import failure
from loadtest.failover.trial import Effort
from loadtest.report.tables import markdown, table
from loadtest.results import Result, describe, read, write, write_all


def results() -> list[Result]:
    cases = [Case(experiment, variant) for experiment in EXPERIMENTS for variant in experiment.variants]
    return [failure(case, Effort(), 1, "session-cluster failover run x", "no plug") for case in cases]


def shown(some: list[Result], width: int) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(table(some))
    return capture.get()


def test_the_table_fits_80_columns_and_says_why_something_did_not_hold() -> None:
    text = shown(results(), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split()).count("it can be run: no plug") == len(results())
    assert "? no data" in text


def test_runs_of_one_are_one_row_and_each_says_why_it_did_not_hold() -> None:
    one = results()[0]
    again = failure(Case(EXPERIMENTS[0], EXPERIMENTS[0].variants[0]), Effort(), 2, "", "a fuse")
    text = " ".join(shown([one, again], 120).split())
    assert text.count("(2 runs)") == 1
    assert "(run 1): it can be run: no plug." in text
    assert "(run 2): it can be run: a fuse." in text
    assert "run" not in shown([one], 120).replace("can be run", "").replace("several runs", "")


def test_the_markdown_table_has_a_line_for_each_case() -> None:
    one = results()[0]
    again = failure(Case(EXPERIMENTS[0], EXPERIMENTS[0].variants[0]), Effort(), 2, "", "a fuse")
    lines = markdown([*results(), again]).splitlines()
    assert len(lines) == 2 + len(results())
    assert all(line.count("|") == 9 for line in lines)
    assert f"{one.heading} (2 runs)" in lines[2]


def test_results_come_back_as_they_were_written_in_the_order_of_the_experiments(tmp_path: Path) -> None:
    written = results()
    for result in reversed(written):
        folder = tmp_path / result.folder
        folder.mkdir(parents=True)
        write(folder, result)
        assert read(folder / "result.json") == result
    assert list(write_all(tmp_path).results) == written


def test_no_secret_of_a_cluster_is_in_its_description() -> None:
    spec = BY_NAME["rolling-deploy"].variants[0].spec
    described = describe(replace(spec, node_settings={**spec.node_settings, "SESSION_NAME": "mine"}))
    assert described["node_settings"]["SESSION_NAME"] == "mine"
    secret = spec.node_settings["SESSION_SECRETS"]
    assert secret not in str(described)
