"""Short forms of experiments that need containers, and of one that containers do in their own way."""

from pathlib import Path

import pytest

from deploy import ComposeCluster
from loadtest.claims import Verdict
from loadtest.experiment import Place
from loadtest.experiments import BY_NAME
from loadtest.suite import Effort, Suite

EFFORT = Effort(users=20, wait=(0.1, 0.4), share=0.4)
CASES = (
    ("node-moves", ""),
    ("planned-failover", "fail-fast"),
    ("concurrent-writes", "mysql"),
    ("late-writes", "postgres"),
)
SERVERS = {"mysql": "mariadb", "postgres": "postgres"}


@pytest.mark.docker
@pytest.mark.parametrize(("name", "variant"), CASES)
def test_its_hypothesis_holds_in_containers(name: str, variant: str, tmp_path: Path) -> None:
    suite = Suite([BY_NAME[name]], EFFORT, tmp_path, {Place.COMPOSE: ComposeCluster}, variants=(variant,))
    (result,) = suite.run(lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
    assert {"nginx", SERVERS.get(variant, "redis")} <= set(result.versions)
