"""The claim about a target's nodes: of one that serves nobody, nobody notices that it fails."""

from pathlib import Path

import msgspec
import pytest

from loadtest.checker import PhaseFigures, check
from loadtest.claims.claim import Lacks, Sight, Timing, Verdict
from loadtest.experiment import BEFORE, Case
from loadtest.experiments import BY_NAME
from loadtest.history import VERSION, End, Header, assemble
from loadtest.runner import Run
from loadtest.suite import evaluate_run

CLAIM = "every node serves before the fault"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    assemble(path := tmp_path / "history.jsonl.gz", Header(version=VERSION, title="", started=0.0))
    return path


def evaluate(
    history: Path, experiment: str, nodes: dict[str, int], lacks: Lacks | None = None, target: str = "Shop"
) -> Verdict | None:
    case = Case(BY_NAME[experiment], BY_NAME[experiment].variants[0], target=target)
    figures = PhaseFigures(seconds=2.0, operations=60, nodes=nodes)
    findings = msgspec.structs.replace(check([End(0, 0)]), total=figures, phases={BEFORE: figures})
    run = Run(findings, Timing(**dict.fromkeys(Timing.__struct_fields__, 0.0)), {}, nodes=2)
    results = evaluate_run(case, run, history, steady=False, lacks=lacks)
    return next((result.verdict for result in results if result.claim == CLAIM), None)


@pytest.mark.parametrize(
    ("nodes", "lacks", "verdict"),
    [
        ({"web-1": 30, "web-2": 30}, {}, Verdict.HOLDS),
        ({"web-1": 60}, {}, Verdict.NOT_ENOUGH_DATA),
        ({}, {Sight.NODES: "shop.toml has no node_header"}, Verdict.NOT_LOOKED_FOR),
    ],
)
def test_a_node_of_a_target_that_serves_nobody_can_die_unnoticed(
    history: Path, nodes: dict[str, int], lacks: Lacks, verdict: Verdict
) -> None:
    assert evaluate(history, "kill-node", nodes, lacks) is verdict


def test_where_no_node_fails_or_the_nodes_are_known_nothing_is_said(history: Path) -> None:
    assert evaluate(history, "store-outage", {"web-1": 60}) is None
    assert evaluate(history, "kill-node", {"node-1": 60}, target="") is None
