"""`session-cluster failover`, `load` and `demo`: help, and what they refuse before any cluster starts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from deploy import ComposeCluster, LocalCluster
from loadtest.cli.failover import leave_out
from loadtest.experiment import Place
from loadtest.experiments import EXPERIMENTS
from loadtest.suite import MakeCluster, Suite, SuiteLoad
from session_cluster import main
from tests.support.described import write_target
from tests.support.waiting import wait_until


def invoke(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], env={"COLUMNS": "80", **environment})


def complaint(*arguments: object, status: int = 2, **environment: str) -> str:
    done = invoke(*arguments, **environment)
    assert done.exit_code == status, done.output
    assert isinstance(done.exception, SystemExit)
    lines = done.stderr.strip().splitlines()
    assert status == 2 or len(lines) == 1, "one line"
    return " ".join(" ".join(lines).split())


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_list_names_every_experiment_within_80_columns() -> None:
    shown = invoke("failover", "list").output
    assert all(one.name in shown and one.title in shown for one in EXPERIMENTS)
    assert max(map(len, shown.splitlines())) <= 80


def test_the_list_for_a_target_names_what_can_not_be_found(tmp_path: Path) -> None:
    runtime = '[runtime]\nkind = "processes"\nroles.node = ["web"]\nmembers.web.start = "web"\n'
    shown = invoke("failover", "list", "--target", write_target(tmp_path, runtime).path).output
    unseen = shown.partition("Not looked for:")[2]
    assert "emptying undone: shop.toml has no request empty" in unseen
    assert "password undone: shop.toml has no request password" in unseen


def list_commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from list_commands(below, *path, name)


@pytest.mark.parametrize("path", [*list_commands(main)], ids=" ".join)
def test_every_help_fits_80_columns(path: tuple[str, ...]) -> None:
    shown = invoke(*path, "--help")
    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", ["", "failover run", "load", "demo", "report", "up", "bench", "proxy-config"])
def test_the_help_of_what_runs_lists_its_exit_statuses(command: str) -> None:
    assert "Exit status:" in invoke(*command.split(), "--help").output


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["load", "--nodes", ""], "--nodes"),
        (["load", "--stores="], "--stores"),
        (["failover", "run", ""], "an argument"),
    ],
)
def test_an_empty_text_is_not_taken_for_an_option_that_was_left_out(arguments: list[str], name: str) -> None:
    assert f"{name} is empty: leave it out, or give it a value." in complaint(*arguments)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("target compare --out results/x", "Name the files of targets to measure, or --page for the results that"),
        ("failover run kil-node", "NAME: unknown experiment 'kil-node': did you mean 'kill-node'?"),
        ("failover run x", "unknown experiment 'x': choose one of memory-round-robin, "),
        ("failover run", "name an experiment, or give --all"),
        ("failover run --all kill-node", "--all and names exclude each other; leave out kill-node"),
        ("failover run node-moves --on local", "node-moves does not run on local; it runs on compose."),
        ("failover run silent-node --node express", "silent-node is for flask nodes alone; express has memory-"),
        ("failover run kill-node --node django", "'express', 'flask-session'"),
        ("failover run kill-node --on compose --node express", "nodes in containers are flask"),
        ("failover run 99", "NAME: unknown experiment '99': choose one of "),
        ("failover run 7 --on local", "node-moves does not run on local"),
        ("load --users 0", "Invalid value for '--users'"),
        ("load --wait 2 1", "--wait must be two ascending numbers"),
        ("failover random --wait 2 1", "Invalid value for --wait: must be two ascending numbers, not 2 1"),
        ("load --workers 5 --users 3", "--workers must be between 1 and the number of users (3), not 5"),
        ("load --mix robots", "--mix must be everyday, "),
        *(
            (f"load --nodes {nodes}", f"--nodes must be a number from 1 to 100, not {nodes}")
            for nodes in ("1,2", "0", "-1")
        ),
        *(
            (f"load --matrix --nodes {nodes}", "must be a number from 1 to 100, or up to 20 with commas")
            for nodes in ("1;2", "0")
        ),
        ("load --store rdis", "unknown store 'rdis': did you mean 'redis'?"),
        ("load --balance x", "unknown balancing policy 'x'"),
        ("load --node django", "unknown kind of node 'django'"),
        ("load --node express --store sql", "express nodes cannot keep sessions in sql"),
        ("load --matrix --stores redis,rdis", "unknown store 'rdis'"),
        ("load --matrix --node flask-session --stores file", "flask-session nodes cannot keep sessions in file"),
        (
            "load --target http://[::1:8080",
            "--target must be http://HOST[:PORT] or https://HOST[:PORT], or the path of a TOML file, not http://[::1:8080",
        ),
        ("load --target host", "--target must be http://HOST"),
        *((f"load {option} nan", f"Invalid value for '{option}'") for option in ("--spawn-rate", "--duration")),
        *((f"load --wait {wait}", "--wait") for wait in ("nan 1", "0 nan", "0 inf")),
        ("load --matrix --store redis", "--store is not for --matrix; use --stores"),
        ("load --on compose --node express", "--node express is for local processes"),
        ("load --matrix --workers 2", "--workers is not for --matrix"),
        ("load --stores redis", "--stores needs --matrix"),
        ("load --insecure", "--insecure needs --target"),
        ("load --target http://127.0.0.1:9 --store redis", "--store is for a new cluster"),
        ("demo --scene two-wokers", "--scene: unknown scene 'two-wokers': did you mean 'two-workers'?"),
        ("demo --scene x", "choose one of one-worker, two-workers, three-nodes, sticky-kill, redis-kill, scale"),
        *((f"demo --users {users}", "Invalid value for '--users'") for users in ("0", "1001", "many")),
        *((f"demo --seconds {seconds}", "Invalid value for '--seconds'") for seconds in ("0", "nan", "inf", "nan-ish")),
    ],
)
def test_wrong_usage_is_refused_with_a_hint(command: str, message: str) -> None:
    assert message in complaint(*command.split(), CLUSTER_USERS_FILE="")


@pytest.mark.usefixtures("no_programs")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["kill-node", "node-moves"],
            "Error: node-moves cannot run: docker is not installed: install Docker, or use local processes",
        ),
        (
            ["kill-node", "--on", "compose"],
            "Error: kill-node cannot run: docker is not installed: install Docker, or use local processes",
        ),
        (["kill-node", "machine-lost"], "Error: machine-lost cannot run: machines need "),
        (["rolling-update.broken"], "Error: rolling-update cannot run: machines need "),
        (["kill-node", "--node", "express"], "Error: Express cannot run here: `node` is not in PATH"),
    ],
)
def test_a_missing_program_is_one_line_before_anything_starts(arguments: list[str], message: str) -> None:
    assert complaint("failover", "run", *arguments, status=1).startswith(message)


def test_runs_that_need_containers_are_left_out_without_docker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clusters: dict[Place, MakeCluster] = {Place.LOCAL: LocalCluster, Place.COMPOSE: ComposeCluster}
    suite = Suite(EXPERIMENTS, SuiteLoad(), tmp_path, clusters, repeat=2)
    elsewhere = [case for case in suite.cases if case.place is Place.COMPOSE]
    assert {case.experiment.name for case in elsewhere} == {
        "node-moves",
        "concurrent-writes",
        "late-writes",
        "database-killed",
        "sqlite-disk-full",
        "login-again",
    }
    rest = leave_out(suite, Place.COMPOSE, (), "docker is not installed")
    assert [case for case in suite.cases if case not in elsewhere] == rest.cases
    count = 2 * len(elsewhere)
    assert capsys.readouterr().err == f"{count} runs that need containers are left out: docker is not installed\n"
    with pytest.raises(click.ClickException, match="node-moves cannot run: docker is not installed"):
        leave_out(suite, Place.COMPOSE, ("node-moves",), "docker is not installed")


@pytest.mark.parametrize("command", ["failover run kill-node", "failover random", "demo", "load", "load --matrix"])
@pytest.mark.parametrize("place", ["/dev/full", "/etc/hostname"])
def test_what_is_not_a_folder_is_no_place_for_results(command: str, place: str) -> None:
    said = complaint(*command.split(), "--out", place)
    assert said.endswith(f"Invalid value for '--out': {place} is not a folder; name a new or an empty one.")


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    said = complaint("failover", "run", "kill-node", "--out", tmp_path)
    assert said.endswith(f"{tmp_path} holds other things; name an empty folder or a new one")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("load --nginx /nowhere/nginx", "no such file: /nowhere/nginx"),
        ("load --nginx ./nowhere", "no such file: nowhere"),
        ("load --target http://127.0.0.1:9", "no users to log in as: give --users-file or CLUSTER_USERS_FILE"),
        ("load --out /proc/load", "cannot write to /proc/load"),
        ("demo --json /nowhere/demo.json", "cannot write to /nowhere/demo.json: No such file or directory"),
        ("demo --scene one-worker --nginx /nowhere/nginx", "no such file: /nowhere/nginx"),
        ("demo --scene redis-kill --store-server /nowhere/redis", "no such file: /nowhere/redis"),
        *(
            (f"{command} {option} {path}", f"Error: {message}")
            for command in ("load --matrix", "failover run primary-killed")
            for option, path, message in (
                ("--nginx", "/nowhere", "nginx not found: no such file: /nowhere"),
                ("--store-server", "/nowhere", "store server not found: no such file: /nowhere"),
                ("--store-server", "/bin/true", "/bin/true is not a Redis or Valkey server"),
            )
        ),
        ("report /nowhere", "folder /nowhere does not exist"),
        ("report /etc/hostname", "/etc/hostname is not a folder"),
    ],
)
def test_what_cannot_be_done_is_explained_in_one_line(command: str, message: str) -> None:
    assert message in complaint(*command.split(), status=1, CLUSTER_USERS_FILE="")


def test_a_temporary_folder_goes_with_its_command_even_if_that_is_killed(tmp_path: Path) -> None:
    code = """if True:
        from pathlib import Path
        from loadtest.cli.shared import temporary_folder
        with temporary_folder(None) as folder:
            (folder / "load-1").mkdir()
            print(folder, flush=True)
            input()
    """
    for is_killed in (True, False):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        ) as command:  # fmt: skip
            assert command.stdout is not None
            folder = Path(command.stdout.readline().strip())
            assert folder.parent == tmp_path
            assert folder.is_dir()
            if is_killed:
                command.kill()
            else:
                command.communicate("\n")
        wait_until(lambda: not any(tmp_path.iterdir()))
