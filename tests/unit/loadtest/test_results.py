"""Results: written and read again, grouped by case, as tables and in two sentences."""

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from deploy import NodeKind
from deploy.files import write_json
from deploy.spec import DATABASE_SERVERS
from loadtest.checker import Kind
from loadtest.claims.claim import ClaimResult, Verdict, not_enough, not_looked_for
from loadtest.cli.shared import run_suite
from loadtest.experiment import ON_ONE_MACHINE, Case, Place
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.load_profile import Mix
from loadtest.report.page import render_page, write_report
from loadtest.report.sentences import NOTHING_FOUND, TOO_LITTLE, summarize, tell, tell_all
from loadtest.report.tables import (
    Column,
    Table,
    add_verdict,
    make_experiment_table,
    make_markdown,
    mark_grid,
    show_experiments,
)
from loadtest.results import HISTORY, RESULT, CaseResults, Result, group_by_case, read_result, replacing, write_results
from loadtest.suite import Suite, SuiteLoad, make_result
from loadtest.target import describe
from tests.support.report_results import Run


def failure(case: Case, number: int, reason: str) -> Result:
    return make_result(case, None, (not_enough(reason).named("the experiment runs"),), number, 24, "session-cluster x")


CASES = [Case(experiment, variant) for experiment in EXPERIMENTS for variant in experiment.variants]
FAILURES = [failure(case, 1, "no plug") for case in CASES]
AGAIN = failure(CASES[0], 2, "a fuse")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where matplotlib is not installed: a page with pictures takes seconds."""
    monkeypatch.setitem(sys.modules, "loadtest.report.plots", None)


def render(results: list[Result], width: int) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(show_experiments(results))
    return capture.get()


def test_every_experiment_has_a_number_a_name_a_reference_and_claims() -> None:
    assert len({one.number for one in EXPERIMENTS}) == len({one.name for one in EXPERIMENTS}) == len(EXPERIMENTS)
    for one in EXPERIMENTS:
        assert one.hypothesis.endswith(".")
        assert all(variant.claims and (variant.reference or one.reference) for variant in one.variants)
        assert len({variant.name for variant in one.variants}) == len(one.variants)


def test_results_come_back_as_written_in_the_order_of_the_experiments(tmp_path: Path) -> None:
    for result in reversed(FAILURES):
        folder = tmp_path / result.folder
        folder.mkdir(parents=True)
        write_json(folder / RESULT, result)
        assert read_result(folder / "result.json") == result
    assert list(write_results(tmp_path).results) == FAILURES


@pytest.mark.parametrize("older", ['"older": "yes"', '"node": "ours"'])
def test_a_result_of_an_earlier_version_is_of_flask_nodes(older: str, tmp_path: Path) -> None:
    Run().write(tmp_path)
    path = tmp_path / "kill-node" / "1" / "result.json"
    path.write_text(path.read_text().replace('"node": "flask"', older))
    (result,) = write_results(tmp_path).results
    assert (result.node, result.folder) == ("flask", "kill-node/1")


def test_a_document_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text("old")
    write_json(path, {})
    assert path.read_bytes() == b"{}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_json(path, {})
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("names", [[RESULT, HISTORY], [RESULT], None])
def test_a_result_is_replaced_when_the_new_one_is_complete(tmp_path: Path, names: list[str] | None) -> None:
    for name in (RESULT, HISTORY, "matrix.json"):
        (tmp_path / name).write_text("old")
    with contextlib.suppress(KeyboardInterrupt), replacing(tmp_path) as folder:
        for name in names or [HISTORY]:
            (folder / name).write_text("new")
        if names is None:
            raise KeyboardInterrupt
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    new = {HISTORY: "old", RESULT: "old"} if names is None else dict.fromkeys(names, "new")
    assert kept == {**new, "matrix.json": "old"}


def test_a_run_without_a_result_leaves_no_folder(tmp_path: Path) -> None:
    for number, names in (("1", [RESULT]), ("2", None)):
        with contextlib.suppress(KeyboardInterrupt), replacing(tmp_path / "kill-node" / number) as folder:
            if names is None:
                raise KeyboardInterrupt
            (folder / RESULT).write_text("{}")
    with contextlib.suppress(KeyboardInterrupt), replacing(tmp_path / "kill-primary" / "1"):
        raise KeyboardInterrupt
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "kill-node",
        "kill-node/1",
        f"kill-node/1/{RESULT}",
    ]


def test_no_secret_of_a_cluster_is_in_its_description() -> None:
    spec = BY_NAME["rolling-deploy"].variants[0].spec
    described = describe(replace(spec, node_settings={**spec.node_settings, "SESSION_NAME": "mine"}))
    assert described["node_settings"]["SESSION_NAME"] == "mine"
    assert spec.node_settings["SESSION_SECRETS"] not in str(described)


def test_the_worst_run_decides_and_figures_are_medians_with_their_range(tmp_path: Path) -> None:
    runs = [
        Run(run=1).write(tmp_path),
        Run(run=2, verdict=Verdict.BROKEN, failed=4, gap=0.5).write(tmp_path),
        Run(run=3, verdict=Verdict.NOT_ENOUGH_DATA, failed=1, gap=0.25).write(tmp_path),
    ]
    (case,) = group_by_case(runs)
    assert case.worst.run == 2
    assert (case.failed, case.gap, case.sessions_lost) == ("1 (0 to 4)", "0.25 (0.00 to 0.50)", "0")


@pytest.mark.usefixtures("no_pictures")
def test_flask_nodes_come_first_and_each_kind_has_a_folder_and_a_row(tmp_path: Path) -> None:
    Run(name="primary-killed", number=9).write(tmp_path)
    for node in ("flask-session", "flask", "express"):
        Run(node=node).write(tmp_path)
    results = write_results(tmp_path).results
    folders = ["kill-node/1", "kill-node.express/1", "kill-node.flask-session/1", "primary-killed/1"]
    assert [result.folder for result in results] == folders
    assert len({case.anchor for case in group_by_case(results)}) == 4
    titles = [line.split("|")[2].strip() for line in make_experiment_table(results).markdown().splitlines()[2:5]]
    title = "kill a node, shared store"
    assert titles == [title, f"{title} (express)", f"{title} (flask-session)"]
    page = write_report(tmp_path, "Nodes").read_text()
    assert "<th>flask</th><th>express</th><th>flask-session</th>" in page


def test_the_table_fits_80_columns_and_explains_each_failure() -> None:
    text = render(FAILURES, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split()).count("the experiment runs: no plug") == len(FAILURES)
    assert "? too little data" in text


def test_brackets_in_the_words_of_a_target_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    words, column = "GET /[dim]/[/x]", Column("[bold]", number=False)
    table, grid = Table([column]), mark_grid()
    table.add([words])
    table.add([(words, "")])
    add_verdict(grid, "", ClaimResult(verdict=Verdict.HOLDS), words)
    Console(width=80).print(table.render(), grid)
    shown = capsys.readouterr().out
    assert shown.count(words) == 3
    assert "[bold]" in shown


def test_ranges_leave_the_names_of_experiments_readable_in_80_columns(tmp_path: Path) -> None:
    runs = [Run(run=1, failed=10, gap=5.5).write(tmp_path), Run(run=2, failed=70, gap=6.5).write(tmp_path)]
    text = render(runs, 80)
    assert "kill a node, shared" in text
    assert "5.50-6.50" in text
    assert "…" not in text


def test_several_runs_of_a_case_are_one_row_and_each_explains_its_failure() -> None:
    text = " ".join(render([FAILURES[0], AGAIN], 120).split())
    assert text.count("(2 runs)") == 1
    assert "(run 1): the experiment runs: no plug." in text
    assert "(run 2): the experiment runs: a fuse." in text
    assert "(run 1)" not in render([FAILURES[0]], 120)


def test_the_markdown_table_has_a_line_for_each_case() -> None:
    lines = make_experiment_table([*FAILURES, AGAIN]).markdown().splitlines()
    assert len(lines) == 2 + len(FAILURES)
    assert {line.count("|") for line in lines} == {9}, "no column without content"
    assert f"{FAILURES[0].heading} (2 runs)" in lines[2]


@pytest.mark.usefixtures("no_pictures")
def test_what_was_not_looked_for_is_said_with_the_reason_and_no_figure_stands_for_it(tmp_path: Path) -> None:
    unseen = not_looked_for("shop.toml has no request count").named("no update is lost")
    result = Run(node="Our shop", place=Place.TARGET).write(tmp_path)
    lacks = {str(Kind.UPDATE_LOST): "shop.toml has no request count"}
    result = msgspec.structs.replace(result, claims=(*result.claims, unseen), lacks=lacks)
    case = CaseResults((result,))
    assert result.folder == "kill-node.our-shop/1"
    assert case.updates_lost == "-"
    assert "nothing was lost" not in tell_all([result]).replace(NOTHING_FOUND, "")
    shown = render([result], 80)
    assert "as predicted, in part" in shown
    flat = " ".join(shown.split())
    assert "not looked for: no update is lost (shop.toml has no request count)." in flat
    assert "Not looked for: no update is lost (shop.toml has no request count)." in make_markdown([result])
    page = render_page([result], tmp_path, "Shop")
    assert "Not looked for: no update is lost (shop.toml has no request count)." in page
    assert "○ not looked for" in page


def test_too_little_data_is_never_said_to_have_lost_nothing(tmp_path: Path) -> None:
    few = not_enough("6 users; 12 are needed").named(
        "no session, update or logout is lost, and no answer is another user's"
    )
    result = msgspec.structs.replace(Run().write(tmp_path), verdict=Verdict.NOT_ENOUGH_DATA, claims=(few,))
    assert tell_all([result]) == f"{TOO_LITTLE}; no request failed"
    told = tell(CaseResults((result,)))
    assert told is not None
    assert (told.lost, told.losses) == (False, TOO_LITTLE)
    assert "nothing was lost" not in render([result], 80) + make_markdown([result])


@pytest.mark.usefixtures("no_pictures")
def test_evidence_has_its_requests_in_the_result_on_the_page_and_in_a_terminal(tmp_path: Path) -> None:
    lost = Run(verdict=Verdict.BROKEN, lost=3).write(tmp_path)
    result = read_result(tmp_path / lost.folder / RESULT)
    said = r"GET /me, status 200 at [\d:]+\.\d{3} by node-\d, after POST /login, status 200 at [\d:.]+ by node-\d"
    assert re.search(rf"first session lost: visitor-1, .*\n +{said}\n", render([result], 140))
    assert re.search(rf"<small>{said}</small>", render_page([result], tmp_path, "Shop"))


def test_what_other_clusters_of_this_project_did_does_not_stand_beside_a_target() -> None:
    experiment = BY_NAME["store-outage"]
    ours, theirs = (
        make_result(Case(experiment, experiment.variants[0], target=target), None, (not_enough("x"),), 1, 24, "")
        for target in ("", "Shop")
    )
    assert (ours.reference, theirs.reference) == (experiment.reference, "")


def test_the_users_that_claims_need_are_said_before_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (few,) = replace(make_suite("kill-node"), load=SuiteLoad(users=11)).list_short()
    claim = "no session, update or logout is lost, and no answer is another user's"
    needed = f'11 users are too little data for "{claim}": 12 are needed (kill-node)'
    assert few == needed
    assert replace(make_suite("kill-node"), load=SuiteLoad(users=12)).list_short() == []

    class Stopped(Suite):
        def run(self, _: object) -> Iterator[Result]:
            raise KeyboardInterrupt

    suite = Stopped([BY_NAME["kill-node"]], SuiteLoad(users=11), tmp_path, make_suite("kill-node").clusters)
    run_suite(suite, Console(width=80), show_experiments, report=None, stopped="runs", broken="not")
    said = capsys.readouterr().out
    assert said.index(f"{needed}.") < said.index("Stopped after 0 of")


def test_the_sums_of_all_runs_are_one_clause_that_names_every_loss(tmp_path: Path) -> None:
    clean, failed, lost = (Run(run=run).write(tmp_path) for run in (1, 2, 3))
    assert tell_all([clean]) == "nobody was logged out and nothing was lost; no request failed"
    assert clean.findings is not None
    many = msgspec.structs.replace(clean.findings.total, failed=113)
    failed = msgspec.structs.replace(failed, findings=msgspec.structs.replace(clean.findings, total=many))
    assert tell_all([clean, failed]) == "nobody was logged out and nothing was lost; 113 requests failed"
    out = msgspec.structs.replace(
        clean.findings.total, users_logged_out=1, found={Kind.SESSION_LOST: 1, Kind.REVIVED: 2}
    )
    seen = msgspec.structs.replace(clean.findings, total=out, sessions_lost=1, revived=2)
    lost = msgspec.structs.replace(lost, findings=seen)
    assert tell_all([clean, lost]) == "1 of 2 users was logged out and 2 logouts were undone; no request failed"
    told = tell(CaseResults((lost,)))
    assert told is not None
    assert (told.lost, told.losses) == (True, "1 of 1 users was logged out and 2 logouts were undone")
    assert group_by_case([lost])[0].users_logged_out == "1 of 1", "one figure in the table and in the sentence"


def test_two_sentences_summarize_a_run(tmp_path: Path) -> None:
    well = summarize(Run().write(tmp_path))
    assert well.startswith("1 users sent 119 requests (")
    assert "after 4 s: kill node-2, for 4 s." in well
    assert well.endswith("Nobody was logged out and nothing was lost; no request failed.")
    badly = summarize(Run(run=2, failed=1, gap=0.5).write(tmp_path))
    assert badly.endswith(
        "Nobody was logged out and nothing was lost; 1 request failed and for 0.50 s there was no good answer."
    )
    assert "after" not in summarize(Run(run=3, fault="nothing").write(tmp_path)).split(".")[0]


def make_suite(name: str, node: NodeKind = NodeKind.FLASK, places: tuple[Place, ...] = (Place.LOCAL,)) -> Suite:
    def never(_: object) -> object:
        raise AssertionError("no cluster is needed to list cases")

    return Suite([BY_NAME[name]], SuiteLoad(), Path(), dict.fromkeys(places, never), node=node)  # type: ignore[arg-type]


@pytest.mark.parametrize("node", [NodeKind.EXPRESS, NodeKind.FLASK_SESSION])
def test_reference_implementations_run_six_experiments_with_the_same_claims(node: NodeKind) -> None:
    theirs = [one for one in EXPERIMENTS if node in one.nodes]
    assert [one.number for one in theirs] == [1, 2, 9, 14, 15, 16]
    for experiment in theirs:
        chosen, ours = make_suite(experiment.name, node).cases, make_suite(experiment.name).cases
        assert chosen, experiment.name
        for case in chosen:
            assert case.spec.node is node
            assert case.spec.store in node.stores
            assert case.variant in [one.variant for one in ours]
            assert case.name not in {one.name for one in ours}


def test_variants_with_a_database_server_run_in_containers_alone() -> None:
    for name in ("concurrent-writes", "late-writes"):
        places = (Place.LOCAL, Place.COMPOSE)
        here, there = ({case.variant.name for case in make_suite(name, places=(place,)).cases} for place in places)
        assert there - here == {server.name for server in DATABASE_SERVERS.values()}
        assert here < there


def test_experiments_run_in_containers_unless_their_fault_is_one_of_local_processes() -> None:
    of_one_machine = [one for one in EXPERIMENTS if set(one.places) & ON_ONE_MACHINE]
    absent = {one.name for one in of_one_machine if not make_suite(one.name, places=(Place.COMPOSE,)).cases}
    assert absent == {"overload", "workers-killed", "primary-cut-off"}


def test_other_applications_get_the_load_without_tabs() -> None:
    experiment = BY_NAME["kill-node"]
    flask, express = (Case(experiment, experiment.variants[0], node) for node in (NodeKind.FLASK, NodeKind.EXPRESS))
    assert (flask.mix, express.mix) == (Mix.BROWSERS, Mix.EVERYDAY)


def test_one_variant_of_an_experiment_can_be_chosen() -> None:
    suite = make_suite("replicas-cut-off")
    assert [case.variant.name for case in suite.cases] == ["guarded", "unguarded"]
    one = replace(suite, variants={"replicas-cut-off": frozenset({"unguarded"})})
    assert [case.variant.name for case in one.cases] == ["unguarded"]


def test_variants_predict_for_themselves_and_name_their_own_command() -> None:
    guarded, unguarded = (
        make_result(Case(BY_NAME["replicas-cut-off"], variant), None, (not_enough("x"),), 1, 24, "")
        for variant in BY_NAME["replicas-cut-off"].variants
    )
    assert guarded.hypothesis != unguarded.hypothesis
    assert unguarded.hypothesis.startswith("Without min-replicas-to-write")


def test_a_case_is_named_after_its_nodes_unless_they_are_flask() -> None:
    experiment = BY_NAME["concurrent-writes"]
    redis = next(variant for variant in experiment.variants if variant.name == "redis")
    assert Case(experiment, redis).name == "concurrent-writes.redis"
    assert Case(experiment, redis, NodeKind.EXPRESS).name == "concurrent-writes.redis.express"
