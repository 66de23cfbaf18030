"""What `session-cluster swarm` refuses, in one line, and how it shows the engine's words. A script is `docker`."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from deploy.spec import ClusterError
from deploy.swarm.cli import list_tasks, swarm
from deploy.swarm.stack import Stack, Task

DOCKER = """#!/bin/sh
case "$1 $2" in
"info --format") echo '{"LocalNodeState": "%(state)s", "ControlAvailable": %(manages)s}' ;;
"node ls") echo one ;;
"node inspect") echo '[{"Description": {"Hostname": "m1"}, "Status": {"Addr": "192.0.2.1"}}]' ;;
"service ls") printf '%(services)s' ;;
*) echo "refused: $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for `docker`, the only one in PATH besides the system's; the current folder is empty."""
    monkeypatch.setattr("nodes.settings.default_name", lambda: pytest.fail("asks a DNS, for half a second"))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/nowhere")
    monkeypatch.chdir(tmp_path)
    return folder


def answer(engine: Path, state: str = "active", manages: str = "true", services: str = "") -> None:
    script = engine / "docker"
    script.write_text(DOCKER % {"state": state, "manages": manages, "services": services})
    script.chmod(0o755)


def run(*words: str, status: int = 1) -> str:
    """Run the command. Return its error, which must be one line."""
    done = CliRunner().invoke(swarm, words)
    assert done.exit_code == status, done.output
    (line,) = done.output.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "0"], "--nodes must be between 1 and 100, not 0"),
        (["--port", "0"], "--port must be between 1 and 65535, not 0"),
        (["--name", "My Shop"], "--name must be a lower-case letter, then"),
        (["--balance", "stiky"], "did you mean 'sticky'?"),
        (["--store-url", "htp://redis"], "mysql:// or postgresql://, not htp://"),
        (["--store-url", "redis://redis/0?ttl=3"], "--store-url is wrong: "),
        (["--store-url", "mysql://db"], "--store-url is wrong: the URL names no database"),
        (["--set", "IDLE=3"], "'IDLE' is not a setting of the stack: see deploy/swarm/stack.yaml"),
        (["--set", "SESSION_IDLE_TIMEOUT"], "--set must be NAME=VALUE, not 'SESSION_IDLE_TIMEOUT'"),
        (["--set", "SESSION_IDLE_TIMEOUT=-1"], "SESSION_IDLE_TIMEOUT must be a number of seconds"),
    ],
)
def test_a_wrong_value_is_wrong_usage_in_one_line_before_any_engine_is_asked(
    engine: Path, options: list[str], message: str
) -> None:
    assert message in run("up", "--image", "shop:1", *options, status=2)
    assert list(engine.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["s3cret:x@h", "s3cret", "redis:s3cret", "s3cret@h://x", "mysql:s3cret@db/x", "me:s3cret"]
)
def test_a_store_url_without_a_scheme_is_refused_and_not_shown(engine: Path, url: str) -> None:
    refused = run("up", "--image", "shop:1", "--store-url", url, status=2)
    assert "--store-url must begin with redis://" in refused
    assert "s3cret" not in refused


@pytest.mark.parametrize("command", [("up", "--image", "shop:1"), ("status",), ("down",)])
def test_an_engine_that_manages_no_swarm_is_refused(engine: Path, command: tuple[str, ...]) -> None:
    assert "docker is not installed" in run(*command)
    answer(engine, state="inactive", manages="false")
    assert "is not in a swarm: run `docker swarm init` or `docker swarm join`" in run(*command)
    answer(engine, manages="false")
    assert "is a worker of its swarm: run this on a manager, or set DOCKER_HOST" in run(*command)


def test_a_stack_of_another_folder_is_not_overwritten(engine: Path) -> None:
    answer(engine, services="sessions_node\\t3/3\\n")
    refused = run("up", "--image", "shop:1")
    assert "there is a stack sessions already, and its secrets are not in swarm-sessions" in refused
    assert "name their folder with --state, or another --name" in refused


def test_a_store_on_a_machine_that_is_not_in_the_swarm_is_refused(engine: Path) -> None:
    answer(engine)
    assert "the swarm has no machine 'm7': it has m1" in run("up", "--image", "shop:1", "--store-machine", "m7")


@pytest.mark.parametrize("command", ["status", "down"])
def test_a_stack_that_is_not_there_is_named(engine: Path, command: str) -> None:
    answer(engine)
    assert "the swarm has no stack shop: start it with" in run(command, "--name", "shop")


def test_a_stack_of_others_is_not_removed(engine: Path) -> None:
    answer(engine, services="sessions_web\\t3/3\\n")
    assert "sessions is another stack: it has no services node and proxy" in run("down")


def test_status_fails_where_a_task_is_missing(engine: Path) -> None:
    answer(engine, services="sessions_node\\t2/3\\n")
    (engine / "docker").write_text(
        (engine / "docker").read_text().replace("*) echo", '"service inspect") echo "[]" ;;\n"stack ps") ;;\n*) echo')
    )
    done = CliRunner().invoke(swarm, ["status"])
    assert done.exit_code == 1
    assert "2 of 3" in done.output


ERRORS = [
    "(iptables failed: no chain/target/match\n (exit status 1))",
    'exec: "[/bin/x]" failed',
    "no suitable image\tfor [linux/amd64] [bold]",
]


def answer_with_tasks(engine: Path, errors: list[str]) -> None:
    """Let `docker stack ps` say these errors in the form that it is asked for, as the engine does."""
    answer(engine, services="sessions_node\\t2/3\\n")
    tasks = [
        {"ID": "x", "Name": f"sessions_node.{number}", "Image": "shop:1", "Node": "m1", "DesiredState": "Shutdown",
         "CurrentState": "Rejected 2 seconds ago", "Error": error, "Ports": ""}
        for number, error in enumerate(errors, 1)
    ]  # fmt: skip
    keys = ("Name", "Node", "Image", "DesiredState", "CurrentState", "Error")
    (engine / "json").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    (engine / "lines").write_text("".join("\t".join(task[key] for key in keys) + "\n" for task in tasks))
    asked = f'case "$*" in *json*) /bin/cat {engine}/json ;; *) /bin/cat {engine}/lines ;; esac'
    script = engine / "docker"
    added = f'"service inspect") echo "[]" ;;\n"stack ps") {asked} ;;\n*) echo'
    script.write_text(script.read_text().replace("*) echo", added))


def test_the_error_of_a_task_is_shown_below_it_as_it_is(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with_tasks(engine, ERRORS)
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(swarm, ["status"], catch_exceptions=False)
    lines = [line.rstrip() for line in done.output.splitlines()]
    for number, error in enumerate(ERRORS, 1):
        place = lines.index(f"  {' '.join(error.split())}")
        assert lines[place - 1] == f"node.{number}  m1       Rejected 2 seconds ago"


def make_task(name: str, machine: str, state: str, error: str = "") -> Task:
    return Task(name, machine, "shop:1", "Shutdown" if error else "Running", state, error)


def test_the_table_of_tasks_fits_80_columns() -> None:
    tasks = [
        make_task("proxy.x7q2m1k9v4n8b3c6z5l0j2h4g", "swarm-machine-1", "Running 2 minutes ago"),
        make_task("node.3", "swarm-machine-3", "Running about a minute ago"),
        make_task("redis.1", "swarm-machine-1", "Running 2 minutes ago"),
        make_task("node.2", "swarm-machine-2", "Rejected 4 minutes ago", f"no suitable node ({'too few cores; ' * 9})"),
        make_task("node.2", "", "Pending 5 seconds ago"),
        make_task("node.4", "ip-10-0-12-34.eu-central-1.compute.internal", "Failed 4 minutes ago", "exit (137)"),
    ]
    out = io.StringIO()
    Console(file=out, width=80).print(list_tasks(tasks))
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "task     machine                                      state",
        "node.2                                                Pending 5 seconds ago",
        "node.3   swarm-machine-3                              Running about a minute ago",
        "proxy    swarm-machine-1                              Running 2 minutes ago",
        "redis.1  swarm-machine-1                              Running 2 minutes ago",
        "node.2   swarm-machine-2                              Rejected 4 minutes ago",
        "  no suitable node (too few cores; too few cores; too few cores; too few cores;",
        "  too few cores; too few cores; too few cores; too few cores; too few cores; )",
        "node.4   ip-10-0-12-34.eu-central-1.compute.internal  Failed 4 minutes ago",
        "  exit (137)",
    ]


def test_the_first_error_of_a_task_says_in_one_line_why_a_stack_does_not_run(engine: Path) -> None:
    answer_with_tasks(engine, ERRORS)
    with pytest.raises(
        ClusterError, match=r"^not running within 0 s: node 2/3; \(iptables [^\n]* \(exit status 1\)\)$"
    ):
        Stack("sessions").wait_deployed(0)
