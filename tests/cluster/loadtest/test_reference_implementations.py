"""Experiments on the reference implementations: the claims of ours, and results of their own."""

from pathlib import Path

import pytest

from deploy import NodeKind
from loadtest.claims.claim import Verdict
from loadtest.experiment import Place
from loadtest.history import read
from loadtest.results import Result, write_results
from loadtest.suite import Suite, SuiteLoad
from loadtest.targets.reference import local_cluster
from tests.support.experiments import only

SUITE_LOAD = SuiteLoad(users=14, wait=(0.1, 0.3), share=0.4)


def run(name: str, node: NodeKind, folder: Path, variant: str = "") -> Result:
    command = f"session-cluster failover run {{name}} --on {{place}} --node {node}"
    suite = Suite([only(name, variant)], SUITE_LOAD, folder, {Place.LOCAL: local_cluster}, command, node=node)
    (result,) = suite.run(lambda _: None)
    return result


def test_flask_session_survives_a_killed_node_and_its_result_names_it(tmp_path: Path) -> None:
    result = run("kill-node", NodeKind.FLASK_SESSION, tmp_path)
    assert result.findings is not None, result.reason
    assert result.findings.sessions_lost == 0
    assert result.verdict is Verdict.HOLDS, result.reason
    assert (result.node, result.cluster["node"]) == ("flask-session", "flask-session")
    assert "flask-session" in result.versions
    assert result.command == "session-cluster failover run kill-node --on local --node flask-session"
    folder = tmp_path / "kill-node.flask-session" / "1"
    assert result.folder == str(folder.relative_to(tmp_path))
    assert write_results(tmp_path).results == (result,)
    assert "'node': 'flask-session'" in str(next(iter(read(folder / result.history))))


@pytest.mark.node
def test_express_loses_updates_of_concurrent_writers(tmp_path: Path) -> None:
    result = run("concurrent-writes", NodeKind.EXPRESS, tmp_path, "redis")
    assert result.verdict is Verdict.BROKEN
    assert "update lost" in result.reason
    assert {"express", "express-session", "connect-redis"} <= set(result.versions)
