"""The checklists of CONTRIBUTING.md for an experiment, a fault and a claim, followed in a copy of this checkout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import copy_checkout
from tests.support.node import ROOT

EXPERIMENT = '''"""99: two of three nodes die."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_GET, served_by_at_most
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import kill_both

EXPERIMENT = Experiment(
    number=99,
    name="two-nodes-killed",
    title="kill two nodes of three",
    hypothesis="One node that is left serves all users.",
    reference="as in 2",
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS),
            fault=kill_both("node-2", "node-3"),
            claims=(NOTHING_LOST, NO_FAILED_GET, served_by_at_most(1).within("during")),
        ),
    ),
)
'''

FAULT = '''def kill_both(one: str, other: str) -> Fault:
    """SIGKILL to all processes of two members."""

    def apply(cluster: Cluster) -> None:
        cluster.kill(one)
        cluster.kill(other)

    return Fault(what=f"kill {one} and {other}", apply=apply, undo=lambda cluster: restore(cluster, one, other))


'''

CLAIM = '''def served_by_at_most(number: int) -> Claim:
    """The claim that no more than this many nodes answer."""

    def evaluate(seen: Observed) -> ClaimResult:
        nodes = ", ".join(seen.figures.nodes)
        return holds(nodes) if len(seen.figures.nodes) <= number else broken(f"answered by {nodes}")

    return Claim(f"at most {number} nodes answer", evaluate)


'''

ADDED = {
    "loadtest/faults/members.py": [
        ("def move(", FAULT),
        ("from loadtest.faults.fault", "from deploy import Cluster\n"),
    ],
    "loadtest/faults/__init__.py": [
        ("from loadtest.faults.members", "from loadtest.faults.members import kill_both\n"),
        ('    "kill_workers"', '    "kill_both",\n'),
    ],
    "loadtest/claims/availability.py": [("def _evaluate_moves", CLAIM)],
}

USE = """
import json
from deploy import Member, MemberState, Role
from loadtest.checker import PhaseFigures, check
from loadtest.claims.claim import Observed
from loadtest.experiment import Case
from loadtest.experiments import BY_NAME
from loadtest.history import End
import msgspec

class Cluster:
    def __init__(self):
        self.calls, self.ended = [], set()

    def kill(self, name):
        self.calls.append(f"kill {name}")
        self.ended.add(name)
        if name == "node-3":
            raise OSError("half-way")

    def restart(self, name):
        self.calls.append(f"restart {name}")

    def members(self):
        states = {name: MemberState.ENDED if name in self.ended else MemberState.RUNNING for name in NAMES}
        return [Member(name, Role.NODE, "", None, "", state) for name, state in states.items()]

NAMES = ("node-1", "node-2", "node-3")
experiment = BY_NAME["two-nodes-killed"]
(variant,) = experiment.variants
cluster = Cluster()
try:
    variant.fault.apply(cluster)
except OSError:
    variant.fault.undo(cluster)
phases = {"during": PhaseFigures(seconds=1.0, nodes={"node-1": 9, "node-2": 1})}
seen = Observed(msgspec.structs.replace(check([End(0, 0)]), phases=phases))
claim = variant.claims[-1]
print(json.dumps({
    "phases": [phase.name for phase in Case(experiment, variant).phases],
    "fault": Case(experiment, variant).fault,
    "calls": cluster.calls,
    "claim": [claim.text, claim.check(seen).verdict, claim.check(seen).reason],
}))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with an experiment, a fault and a claim."""
    files = {"loadtest/experiments/two_nodes_killed.py": EXPERIMENT, "session_cluster.py": ""}
    folders = ("nodes", "proxy", "deploy", "loadtest")
    root = copy_checkout(tmp_path_factory.mktemp("checkout"), folders, files, ADDED)
    for name in ("session_cluster.py", "pyproject.toml"):
        (root / name).write_text((ROOT / name).read_text())
    return root


def run(checkout: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=checkout, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_checklists_name_the_files_of_an_experiment_a_fault_and_a_claim() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("### An experiment")[2].partition("### A balancing")[0]
    assert [name for name in ADDED if f"`{name}`" not in text] == []
    assert "`loadtest/experiments/two_nodes_killed.py`" in text


def test_a_new_experiment_is_found_by_its_file(checkout: Path) -> None:
    listed = run(checkout, "-m", "session_cluster", "failover", "list")
    (line,) = [line for line in listed.splitlines() if "two-nodes-killed" in line]
    assert line.split() == ["99", "two-nodes-killed", "kill", "two", "nodes", "of", "three", "local,", "compose"]


def test_a_new_fault_is_undone_also_half_way_and_a_new_claim_says_what_was_seen(checkout: Path) -> None:
    assert json.loads(run(checkout, "-c", USE)) == {
        "phases": ["before", "during", "after"],
        "fault": "kill node-2 and node-3",
        "calls": ["kill node-2", "kill node-3", "restart node-2", "restart node-3"],
        "claim": ["at most 1 nodes answer", "broken", "answered by node-1, node-2"],
    }
