"""The command line as a user meets it: each command in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from session_cluster import main
from tests.support.commands import default_signals

ROOT = Path(__file__).parents[2]
COMMANDS = ["demo", "up", "load", "proxy-config"]


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


def _helps(command: click.Command, *names: str) -> Iterator[str]:
    """Yield the help of a command and of all below it, in 80 columns."""
    yield CliRunner().invoke(main, [*names, "--help"], terminal_width=80).output
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from _helps(one, *names, name)


def test_no_line_of_help_breaks_a_name_at_its_hyphen() -> None:
    helps = list(_helps(main))
    assert len(helps) > 15
    assert [line for text in helps for line in text.splitlines() if line.endswith("-")] == []


def test_no_line_of_help_breaks_code_a_default_a_range_or_a_percentage() -> None:
    lines = [line for text in _helps(main) for line in text.splitlines()]
    broken = re.compile(r"\[default:$|^ +\d[\d.]* to \d+\]$|^ *%")
    assert [line for line in lines if line.count("`") % 2 or broken.search(line)] == []


def test_no_paragraph_of_help_ends_with_a_word_alone_on_its_line() -> None:
    alone = re.compile(r"^ *(\S.*\S)\n +[\w.]+\.$(?=\n\n|\n  -)", re.MULTILINE)
    assert [found[0] for text in _helps(main) for found in alone.finditer(text)] == []


def test_ranges_of_options_are_in_words() -> None:
    assert "[default: 5; 1 to 100]" in run("bench", "--help").stdout
    assert [text for text in _helps(main) if "<=x<=" in text or "]  [" in text] == []


def test_the_options_of_load_are_in_a_group_for_each_kind_of_cluster() -> None:
    shown = CliRunner().invoke(main, ["load", "--help"], terminal_width=80).output
    groups = {text.partition(":\n")[0]: text for text in re.split(r"\n\n(?=\S)", shown)}
    options = {heading: re.findall(r"^  (?:-h, )?(--[a-z-]+)", text, re.MULTILINE) for heading, text in groups.items()}
    assert {heading: options[heading] for heading in list(options)[1:]} == {
        "Options": [
            "--users",
            "--spawn-rate",
            "--duration",
            "--wait",
            "--mix",
            "--workers",
            "--web",
            "--out",
            "--help",
        ],
        "Running target": ["--target", "--users-file", "--cookie", "--ca", "--insecure"],
        "New cluster": ["--store", "--node", "--balance", "--nodes", "--on", "--nginx", "--store-server"],
        "Matrix": ["--matrix", "--stores", "--balances"],
    }


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == "session-cluster, version 0.2.0\n"


def test_an_interrupt_during_the_imports_ends_without_a_traceback() -> None:
    code = (
        "import signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'loadtest.demo': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "import session_cluster"
    )
    with default_signals():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_interrupt_before_a_command_listens_for_signals_ends_with_130() -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    main.add_command(interrupted)
    try:
        done = CliRunner().invoke(main, ["interrupted"])
    finally:
        del main.commands["interrupted"]
    assert (done.exit_code, done.output) == (130, "")


def test_the_command_line_never_loads_locust_or_gevent() -> None:
    """They patch the whole process, sockets and threads and all."""
    code = (
        "import sys, session_cluster, loadtest.cli.shared, loadtest.demo, loadtest.load, loadtest.matrix\n"
        "import loadtest.suite, loadtest.report.page, loadtest.targets\n"
        "print(sorted({'locust', 'gevent', 'geventhttpclient'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_wrong_usage_is_reported_without_a_traceback() -> None:
    done = run("domo")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: No such command 'domo'. Did you mean 'demo'?"
