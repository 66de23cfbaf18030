"""`session-cluster up` refuses what it cannot run, in one line and before any server starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy import cli
from deploy.cli import Additions, kill_command, up
from deploy.ports import free_ports, is_taken
from deploy.spec import ClusterError, ClusterSpec


def run(*options: str, status: int = 1) -> str:
    """Run the command. Return its error, which must be one line."""
    done = CliRunner().invoke(up, ["--port", "0", *options], obj=Additions(lambda _: None, lambda *_: None))
    assert done.exit_code == status, done.output
    (line,) = done.output.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "10000"], "--nodes must be between 1 and 100, not 10,000"),
        (["--nodes", "0"], "--nodes must be between 1 and 100, not 0"),
        (["--workers", "33"], "--workers must be between 1 and 32, not 33"),
        (["--store", "rdis"], "unknown store 'rdis': did you mean 'redis'?"),
        (["--balance", "round-robin"], "did you mean 'round_robin'?"),
        (["--durability", "every-write"], "unknown durability 'every-write': did you mean 'every_write'?"),
        (["--durability", "every_write"], "--durability every_write needs replicas: use it with"),
        (["--node", "django"], "unknown kind of node 'django'"),
        (["--node", "express", "--store", "sql"], "express nodes cannot keep sessions in sql"),
        (["--port", "70000"], "--port must be between 0 (a free one) and 65535, not 70000"),
    ],
)
def test_a_wrong_value_is_wrong_usage_in_one_line(options: list[str], message: str) -> None:
    assert message in run(*options, status=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nginx", "/nowhere/nginx"], "no such file: /nowhere/nginx"),
        (["--nginx", "no-such-nginx"], "'no-such-nginx' is not in PATH"),
        (["--nginx", "./README.md"], "is not executable"),
        (["--nginx", "/bin/true"], "does not answer like nginx"),
        (["--store-server", "/nowhere/redis-server"], "no such file: /nowhere/redis-server"),
        (["--store-server", "no-such-server"], "'no-such-server' is not in PATH"),
        (["--store-server", "./README.md"], "is not executable"),
        (["--store-server", "/bin/true"], "is not a Redis or Valkey server"),
        (["--state", "/etc/hostname"], "is not a folder"),
        (["--state", "/etc"], "holds other things"),
        (["--state", "/proc/state"], "cannot be written"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_in_one_line(
    options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    assert message in run(*options)


def test_servers_that_are_too_old_are_named_with_what_is_needed(tmp_path: Path) -> None:
    def program(name: str, version: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{version}'\necho '{version}' >&2\n")
        path.chmod(0o755)
        return str(path)

    assert "must be nginx 1.19.5 or later, not 1.14.2" in run(
        "--nginx", program("nginx", "nginx version: nginx/1.14.2")
    )
    no_sticky = program("nginx22", "nginx version: nginx/1.22.1")
    assert "nginx 1.22.1 does not support balance sticky" in run(
        "--store", "memory", "--balance", "sticky", "--nginx", no_sticky
    )
    old_redis = program("redis", "Redis server v=5.0.3 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64")
    assert "must be Redis or Valkey 6.2 or later, not 5.0.3" in run("--store-server", old_redis)


def test_a_port_that_is_taken_is_named_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        line = run("--port", str(port))
    assert f"port {port} is taken by" in line
    assert f"(pid {os.getpid()})" in line


def test_the_process_at_a_taken_port_is_the_one_that_started_its_workers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        with subprocess.Popen(wait, stdin=subprocess.PIPE, pass_fds=[holder.fileno()]):  # ends with its input
            assert f"(pid {os.getpid()})" in run("--port", str(holder.getsockname()[1]))


def test_free_ports_differ_and_are_below_the_ephemeral_range() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768
    assert not any(is_taken(port) for port in ports)


@pytest.mark.parametrize("text", ["primary", "revocations", "every_write"])
def test_the_durability_is_that_of_the_cluster(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ClusterSpec] = []

    def refuse(spec: ClusterSpec, *_: object) -> None:
        made.append(spec)
        raise ClusterError("refused")

    monkeypatch.setattr("deploy.cli.LocalCluster", refuse)
    run("--store", "redis-ha", "--durability", text)
    settings = made[0].store_settings
    assert settings.node_environment(has_replicas=True)["STORE_DURABILITY"] == text
    assert settings.append_only is (text != "primary")


@pytest.mark.parametrize(
    ("found", "options"),
    [
        (["/tmp/own"], ""),
        (["/tmp/own", "/tmp/other"], " --state /tmp/own"),
        (["/tmp/other"], " --state /tmp/own"),
        ([], " --state /tmp/own"),
    ],
)
def test_up_shows_the_command_kill_with_its_folder_unless_it_is_the_only_cluster(
    monkeypatch: pytest.MonkeyPatch, found: list[str], options: str
) -> None:
    monkeypatch.setattr(cli, "find_running", lambda folder: dict.fromkeys(map(Path, found)))
    assert kill_command(Path("/tmp/own")) == f"session-cluster kill node-2{options}"
