"""Experiments on several machines, in short form. `make test-nightly` runs them in full, too."""

from pathlib import Path

import pytest

from deploy import SwarmCluster
from deploy.swarm.namespaces import why_no_machines
from loadtest.claims.claim import Verdict
from loadtest.experiment import Place
from loadtest.suite import Suite, SuiteLoad
from tests.support.experiments import only
from tests.support.lacks import lacks

pytestmark = [pytest.mark.nightly, pytest.mark.alone, pytest.mark.timeout(600)]

CASES = (
    ("machine-lost", "network"),
    ("machine-lost", "power"),
    ("machine-drained", ""),
    ("rolling-update", "works"),
    ("rolling-update", "broken"),
    ("quorum-lost", ""),
)


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_an_experiment_holds_on_several_machines(name: str, variant: str, tmp_path: Path) -> None:
    if reason := why_no_machines():
        lacks(reason)
    load = SuiteLoad(users=20, wait=(0.1, 0.4), share=0.4)
    (result,) = Suite([only(name, variant)], load, tmp_path, {Place.SWARM: SwarmCluster}).run(lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
    assert {"nginx", "redis"} <= set(result.versions)
