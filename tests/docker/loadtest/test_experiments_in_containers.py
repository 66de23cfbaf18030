"""A short form of those experiments that local processes cannot run, and of one where containers have a way of their
own."""

from pathlib import Path

import pytest

from deploy import ComposeCluster
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.failover.session import Plan, run_all
from loadtest.failover.trial import Effort
from loadtest.results import Place
from loadtest.verdict import Verdict

EFFORT = Effort(users=20, wait=(0.1, 0.4), share=0.4)
CASES = (
    ("node-moves", ""),
    ("planned-failover", "fail-fast"),
    ("concurrent-writes", "mysql"),
    ("late-writes", "postgres"),
)

SERVERS = {"mysql": "mariadb", "postgres": "postgres"}


def plan(names: tuple[str, ...], place: Place, folder: Path, variants: tuple[str, ...] | None = None) -> Plan:
    return Plan([BY_NAME[name] for name in names], 1, EFFORT, folder, "", {place: ComposeCluster}, variants=variants)


@pytest.mark.docker
@pytest.mark.parametrize(("name", "variant"), CASES)
def test_its_hypothesis_holds_in_containers(name: str, variant: str, tmp_path: Path) -> None:
    (result,) = run_all(plan((name,), Place.COMPOSE, tmp_path, (variant,)), lambda _: None)
    assert result.verdict is Verdict.HOLDS, result.reason
    assert {"nginx", SERVERS.get(variant, "redis")} <= set(result.versions)


def test_what_needs_a_database_server_is_run_in_containers_alone(tmp_path: Path) -> None:
    names = ("concurrent-writes", "late-writes")
    here, there = (
        {(case.experiment.name, case.variant.name) for case in plan(names, place, tmp_path).cases} for place in Place
    )
    databases = {(name, database) for name in names for database in ("mysql", "postgres")}
    assert there - here == databases
    assert here < there


def test_every_experiment_is_run_in_containers(tmp_path: Path) -> None:
    everything = plan(tuple(BY_NAME), Place.COMPOSE, tmp_path)
    assert {case.experiment.name for case in everything.cases} == {one.name for one in EXPERIMENTS}
