"""`session-cluster failover` as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy import ComposeCluster, LocalCluster
from loadtest.experiments import EXPERIMENTS
from loadtest.failover.cli import _without_containers
from loadtest.failover.session import Plan
from loadtest.failover.trial import Effort
from loadtest.results import Place
from loadtest.runner import MakeCluster

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, str(ROOT / "session_cluster.py"), "failover"]


def failover(*arguments: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COLUMNS": "80"} | ({"PATH": path} if path is not None else {})
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=110, env=environment)


def complaint(*arguments: str, status: int = 2, path: str | None = None) -> str:
    done = failover(*arguments, path=path)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_the_list_names_every_experiment_within_80_columns() -> None:
    shown = failover("list").stdout
    assert [one.name for one in EXPERIMENTS if one.name in shown and one.title in shown] == [
        one.name for one in EXPERIMENTS
    ]
    assert max(map(len, shown.splitlines())) <= 80


def test_every_experiment_has_its_number_name_and_something_that_must_hold() -> None:
    assert len({one.number for one in EXPERIMENTS}) == len({one.name for one in EXPERIMENTS}) == len(EXPERIMENTS)
    for one in EXPERIMENTS:
        assert one.hypothesis.endswith(".")
        assert all(variant.claims and (variant.reference or one.reference) for variant in one.variants)
        assert len({variant.name for variant in one.variants}) == len(one.variants)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    said = complaint("run", "kil-node")
    assert said == "Error: Invalid value for NAME: there is no experiment 'kil-node'; did you mean 'kill-node'?"
    assert "the experiments are memory-round-robin, " in complaint("run", "x")


def test_nothing_to_run_and_too_much_to_run_are_wrong_usage() -> None:
    assert "name an experiment, or give --all" in complaint("run")
    assert "--all runs everything: leave out kill-node" in complaint("run", "--all", "kill-node")


def test_an_experiment_that_does_not_run_there_says_where_it_does() -> None:
    said = complaint("run", "node-moves", "--on", "local")
    assert said.endswith("node-moves does not run on local; it runs on compose.")


def test_what_was_named_and_needs_containers_is_an_error_without_docker(tmp_path: Path) -> None:
    said = complaint("run", "kill-node", "node-moves", status=1, path=str(tmp_path))
    assert said == "Error: docker is not installed: install Docker, or use local processes"


def test_runs_that_need_containers_are_left_out_without_docker_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clusters: dict[Place, MakeCluster] = {Place.LOCAL: LocalCluster, Place.COMPOSE: ComposeCluster}
    plan = Plan(EXPERIMENTS, 2, Effort(), tmp_path, "", clusters)
    elsewhere = [case for case in plan.cases if case.place is Place.COMPOSE]
    assert {case.experiment.name for case in elsewhere} == {"node-moves", "concurrent-writes", "late-writes"}
    rest = _without_containers(plan, (), "there is no docker")
    assert [case for case in plan.cases if case not in elsewhere] == rest.cases
    count = 2 * len(elsewhere)
    assert capsys.readouterr().err == f"{count} runs that need containers are left out: there is no docker\n"


def test_a_folder_that_holds_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert complaint("run", "kill-node", "--out", str(tmp_path)).endswith(
        f"{tmp_path} holds other things; name an empty folder or a new one"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_docker_compose_is_one_line(tmp_path: Path) -> None:
    said = complaint("run", "kill-node", "--on", "compose", status=1, path=str(tmp_path))
    assert said == "Error: docker is not installed: install Docker, or use local processes"


def test_ctrl_c_undoes_the_fault_leaves_nothing_running_and_keeps_the_folder_usable(tmp_path: Path) -> None:
    out = tmp_path / "results"
    with subprocess.Popen(
        [*COMMAND, "run", "silent-node", "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if ": after: pause node-2" in line.partition("(next")[0]:
                break
        family = psutil.Process(running.pid).children(recursive=True)
        assert any(process.status() == psutil.STATUS_STOPPED for process in family), "the node is paused"
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 130, rest
    assert "Stopped after 0 of 1 runs; the fault is undone, everything has ended." in rest
    deadline = time.monotonic() + 10
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family):
        assert time.monotonic() < deadline, "something still runs"
        time.sleep(0.05)
    assert json.loads((out / "results.json").read_text())["results"] == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list", "--help"]])
def test_every_help_fits_80_columns(arguments: list[str]) -> None:
    shown = failover(*arguments)
    assert shown.returncode == 0
    assert [line for line in shown.stdout.splitlines() if len(line) > 80] == []


def test_an_experiment_that_is_for_our_nodes_alone_says_which_are_for_others() -> None:
    assert complaint("run", "silent-node", "--node", "express").endswith(
        "silent-node is for our nodes alone; express has memory-round-robin, kill-node, primary-killed, store-outage,"
        " concurrent-writes, late-writes."
    )
    assert "'express', 'flask-session'" in complaint("run", "kill-node", "--node", "django")


def test_other_peoples_nodes_are_local_processes() -> None:
    said = complaint("run", "kill-node", "--on", "compose", "--node", "express")
    assert said == "Error: --node express is for local processes: nodes in containers are flask"


def test_a_peer_that_cannot_run_here_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    said = complaint("run", "kill-node", "--node", "express", status=1, path=str(tmp_path))
    assert said.startswith("Error: no Express application here: there is no `node` in PATH")
