"""The experiments on other people's nodes: the same claims, results of their own, side by side with ours."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy import NodeKind, StoreKind
from loadtest.experiment import Case
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.failover.session import Plan, run_all
from loadtest.failover.trial import Effort
from loadtest.history import read as read_history
from loadtest.report.tables import markdown
from loadtest.report.write import write_report
from loadtest.results import Place, Result, write, write_all
from loadtest.targets import local_cluster
from loadtest.verdict import Verdict
from tests.support.report_results import Run

EFFORT = Effort(users=14, wait=(0.1, 0.3), share=0.4)
PEERS = [NodeKind.EXPRESS, NodeKind.FLASK_SESSION]


def plan(name: str, node: NodeKind, folder: Path, variants: Sequence[str] | None = None) -> Plan:
    return Plan([BY_NAME[name]], 1, EFFORT, folder, f"--node {node}", {Place.LOCAL: local_cluster}, node, variants)


def result_of(name: str, node: NodeKind, folder: Path, variant: str = "") -> Result:
    (result,) = run_all(plan(name, node, folder, (variant,)), lambda _: None)
    return result


def test_flask_session_outlives_a_node_that_is_killed_and_its_result_says_whose_it_is(tmp_path: Path) -> None:
    result = result_of("kill-node", NodeKind.FLASK_SESSION, tmp_path)
    assert result.findings is not None, result.reason
    assert result.findings.sessions_lost == 0
    assert result.verdict is Verdict.HOLDS, result.reason
    assert (result.node, result.cluster["node"]) == ("flask-session", "flask-session")
    assert "flask-session" in result.versions
    assert result.command == "session-cluster failover run kill-node --on local --node flask-session"
    folder = tmp_path / "kill-node.flask-session" / "1"
    assert result.folder == str(folder.relative_to(tmp_path))
    assert write_all(tmp_path).results == (result,)
    header = next(iter(read_history(folder / result.history)))
    assert "'node': 'flask-session'" in str(header)


@pytest.mark.node
def test_express_loses_updates_of_concurrent_writers_and_the_verdict_says_so(tmp_path: Path) -> None:
    result = result_of("concurrent-writes", NodeKind.EXPRESS, tmp_path, "redis")
    assert result.verdict is Verdict.BROKEN
    assert "update lost" in result.reason
    assert {"express", "express-session", "connect-redis"} <= set(result.versions)


@pytest.mark.parametrize("node", PEERS)
def test_peers_get_the_six_experiments_with_the_stores_that_they_have_and_the_claims_of_ours(node: NodeKind) -> None:
    theirs = [one for one in EXPERIMENTS if node in one.nodes]
    assert [one.number for one in theirs] == [1, 2, 9, 14, 15, 16]
    for experiment in theirs:
        chosen, ours = (plan(experiment.name, kind, Path()).cases for kind in (node, NodeKind.FLASK))
        assert chosen, experiment.name
        for case in chosen:
            assert case.spec.node is node
            assert case.spec.store in {StoreKind.MEMORY, StoreKind.REDIS, StoreKind.REDIS_HA}
            assert case.variant in [one.variant for one in ours]
            assert case.name not in {one.name for one in ours}


def test_ours_come_first_and_each_kind_has_a_folder_and_a_row_of_its_own(tmp_path: Path) -> None:
    for node in ("flask-session", "flask", "express"):
        Run(node=node).write(tmp_path)
    results = write_all(tmp_path).results
    assert [result.node for result in results] == ["flask", "express", "flask-session"]
    assert [result.folder for result in results] == ["kill-node/1", "kill-node.express/1", "kill-node.flask-session/1"]
    titles = [line.split("|")[2].strip() for line in markdown(results).splitlines()[2:]]
    title = "kill a node, shared store"
    assert titles == [title, f"{title} (express)", f"{title} (flask-session)"]
    page = write_report(tmp_path, "Peers").read_text()
    assert "<th>flask</th><th>express</th><th>flask-session</th>" in page


def test_a_result_of_before_there_were_peers_is_ours(tmp_path: Path) -> None:
    Run().write(tmp_path)
    path = tmp_path / "kill-node" / "1" / "result.json"
    old = path.read_text().replace('"node": "flask"', '"older": "yes"')
    path.write_text(old)
    (result,) = write_all(tmp_path).results
    assert "node" not in result.cluster
    assert (result.node, result.folder) == ("flask", "kill-node/1")
    write(path.parent, result)


def test_a_case_is_called_after_its_node_only_where_it_is_not_ours() -> None:
    experiment = BY_NAME["concurrent-writes"]
    redis = next(variant for variant in experiment.variants if variant.name == "redis")
    assert Case(experiment, redis).name == "concurrent-writes.redis"
    assert Case(experiment, redis, NodeKind.EXPRESS).name == "concurrent-writes.redis.express"
