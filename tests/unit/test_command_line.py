"""The command line as a user meets it: each command in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ["demo", "up", "load", "proxy-config"]
SCENES = ["one-worker", "two-workers", "three-nodes", "sticky-kill", "redis-kill", "scale"]


def run(*arguments: str, timeout: float = 60.0) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "session_cluster.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_the_manual_names_the_commands_examples_environment_and_exit_codes() -> None:
    manual = run("--help")
    assert manual.returncode == 0
    for word in (*COMMANDS, "Examples:", "Environment:", "CLUSTER_USERS_FILE", "Exit status:", "130", "locust -f"):
        assert word in manual.stdout


def test_the_scenes_are_in_the_help_of_the_demo() -> None:
    text = run("demo", "--help").stdout
    assert [name for name in SCENES if name in text] == SCENES


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_help_fits_80_columns(command: list[str]) -> None:
    shown = run(*command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: ")
    assert [line for line in shown.stdout.splitlines() if len(line) > 80] == []


def test_the_version_is_said() -> None:
    assert run("--version").stdout == "session-cluster, version 0.1.0\n"


def test_the_command_line_never_loads_locust_or_gevent() -> None:
    """They patch the whole process, sockets and threads and all."""
    code = (
        "import sys, session_cluster, loadtest.cli.shared, loadtest.demo, loadtest.load, loadtest.matrix\n"
        "import loadtest.suite, loadtest.report.page, loadtest.targets\n"
        "print(sorted({'locust', 'gevent', 'geventhttpclient'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def wrong_usage(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def failure(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    return done.stderr.rstrip()


def test_an_unknown_scene_is_refused_with_the_nearest_name() -> None:
    line = wrong_usage("demo", "--scene", "two-wokers")
    assert line == "Error: Invalid value for --scene: unknown scene 'two-wokers'; did you mean 'two-workers'?"


def test_a_scene_that_is_like_none_is_refused_with_all_the_names() -> None:
    assert wrong_usage("demo", "--scene", "x").endswith(f"the scenes are {', '.join(SCENES)}.")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--users", "0"), ("--users", "1001"), ("--users", "many"), ("--seconds", "0"), ("--seconds", "nan-ish")],
)
def test_numbers_that_cannot_be_are_refused(option: str, value: str) -> None:
    assert f"Invalid value for '{option}'" in wrong_usage("demo", option, value)


def test_an_unknown_command_is_refused() -> None:
    assert "No such command 'domo'" in wrong_usage("domo")


def test_a_file_that_cannot_be_written_is_noticed_before_anything_runs(tmp_path: Path) -> None:
    line = failure("demo", "--json", str(tmp_path / "missing" / "demo.json"))
    assert line == f"Error: cannot write to {tmp_path}/missing/demo.json: No such file or directory"


@pytest.mark.parametrize(("option", "scene"), [("--nginx", "one-worker"), ("--store-server", "redis-kill")])
def test_a_program_that_is_missing_is_named_in_one_line(tmp_path: Path, option: str, scene: str) -> None:
    line = failure("demo", "--scene", scene, option, str(tmp_path / "missing"))
    assert str(tmp_path / "missing") in line
