"""`session-cluster up`, as a person runs it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.commands import COMMAND, default_signals, run_command
from tests.support.http_client import HttpClient, node_of
from tests.support.node import ROOT
from tests.support.waiting import lives, wait_until

IN_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""A shell without job control starts a background job with SIGINT ignored."""


@dataclass(frozen=True)
class Up:
    """The running command, with its state in `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    @property
    def state(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.folder / "cluster.json").read_text())
        return described

    @property
    def pids(self) -> list[int]:
        """The ids of the cluster's processes, with their children and the reaper."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]


@contextlib.contextmanager
def running(folder: Path, *options: str, prefix: Sequence[str] = ()) -> Iterator[Up]:
    output = folder.with_suffix(".out")
    command = [*prefix, *COMMAND, "up", "--port", "0", "--state", str(folder), *options]
    with output.open("wb") as file, default_signals():
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}
        )
    with process:
        try:
            wait_until(lambda: "Ctrl-C" in output.read_text() or process.poll() is not None, "up is ready", 60)
            assert process.poll() is None, output.read_text()
            yield Up(process, folder, output)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A cluster for tests that do not change it."""
    with running(tmp_path_factory.mktemp("up") / "state", "--nodes", "2") as command:
        yield command


def test_the_output_names_the_address_the_users_and_the_logs(shared: Up) -> None:
    output, state = shared.output.read_text(), shared.state
    for text in (state["url"], "alice, bob, carol", state["password"], str(shared.folder / "logs"), "node-2"):
        assert text in output
    assert max(len(line) for line in output.splitlines() if str(shared.folder) not in line) <= 80


def test_a_user_logs_in_with_the_printed_password(shared: Up) -> None:
    browser = HttpClient(shared.state["url"])
    browser.log_in({"alice": shared.state["password"]})
    assert browser.user == "alice"


def test_a_policy_that_loses_the_sessions_of_this_store_is_a_line_of_the_output(tmp_path: Path) -> None:
    with running(
        tmp_path / "state", "--nodes", "1", "--workers", "2", "--store", "memory", "--balance", "sticky"
    ) as up:
        assert "no policy chooses a worker: most logins are lost" in up.output.read_text()


def test_an_application_of_ones_own_has_its_sessions_in_the_store_of_the_cluster(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--nodes", "2", "--app", "docs.examples.hello:app", "--tls") as up:
        (trust,) = [line for line in up.output.read_text().splitlines() if line.startswith("trust")]
        browser = HttpClient(up.state["url"], authority=Path(trust.split()[1]))
        answers = [browser.get("/") for _ in range(4)]
        assert [(node_of(each), each.json()["visits"]) for each in answers] == [
            *[("node-1", 1), ("node-2", 2), ("node-1", 3), ("node-2", 4)]
        ]
        assert [cookie.name for cookie in browser.cookies] == ["__Host-session"]
        assert "docs.examples.hello:app" in up.output.read_text()


def test_the_page_of_the_console_breaks_and_repairs_the_cluster(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--nodes", "1", "--console", "0") as up:
        wait_until(lambda: "for scripts" in up.output.read_text(), "the cluster runs")
        (address,) = re.findall(r"http://\S+token=\S+", up.output.read_text())
        place, _, token = address.partition("?token=")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        def post(**order: str) -> int:
            request = urllib.request.Request(f"{place}commands", json.dumps(order).encode(), headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)

        pid = up.state["processes"][1]["pid"]
        assert post(do="kill", on="node-1") == 202
        wait_until(lambda: not lives(pid), "the node has ended")
        assert post(do="undo") == 202
        wait_until(lambda: up.state["processes"][1]["pid"] not in {None, pid}, "the node is back")
        browser = HttpClient(up.state["url"])
        browser.log_in(up.state["users"])
        assert browser.user == "alice"
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(timeout=30) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--app", "hello"), "app must be module:name or module:function(), not 'hello'"),
        (("--app", "a:b", "--node", "express"), "app is for flask nodes, not for express"),
        (("--app", "a:b", "--store", "express"), "app can't keep its sessions in express"),
        (("--app", "nowhere:app", "--nodes", "1"), "NODE_APP=nowhere:app: No module named 'nowhere'"),
    ],
)
def test_an_application_that_cannot_be_served_is_one_line(options: tuple[str, ...], error: str) -> None:
    done = run_command("up", "--port", "0", *options)
    assert done.returncode != 0
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_with_the_variables_of_the_nodes_disables_a_user_on_all_of_them(shared: Up) -> None:
    def accounts(command: str) -> None:
        script = f". {shared.folder}/secrets/node.env; exec {sys.executable} -m nodes.accounts {command}"
        subprocess.run(["sh", "-euc", script], cwd=ROOT, check=True, timeout=30)

    def logins() -> set[int]:
        body = {"user": "carol", "password": shared.state["password"]}
        return {HttpClient(shared.state["url"]).post("/login", json=body).status_code for _ in range(4)}

    accounts("disable carol")
    assert logins() == {401}
    accounts("enable carol")
    assert logins() == {200}


@pytest.mark.parametrize(
    ("number", "prefix"), [(signal.SIGINT, ()), (signal.SIGTERM, IN_BACKGROUND), (signal.SIGHUP, ())]
)
def test_a_signal_stops_everything_also_in_the_background(
    tmp_path: Path, number: signal.Signals, prefix: Sequence[str]
) -> None:
    with running(tmp_path / "state", "--nodes", "1", prefix=prefix) as up:
        pids = up.pids
        assert len(pids) >= 6
        up.process.send_signal(number)
        assert up.process.wait(timeout=30) == 128 + number
        wait_until(lambda: not lives(*pids), "everything has ended")
        for removed in ("cluster.json", "secrets", "data", "tls"):
            assert not (up.folder / removed).exists()
        assert (up.folder / "logs" / "node-1.log").exists()


def test_under_nohup_a_closed_terminal_does_not_stop_it(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--nodes", "1", prefix=("nohup",)) as up:
        up.process.send_signal(signal.SIGHUP)
        browser = HttpClient(up.state["url"])
        browser.log_in(up.state["users"])
        assert browser.user == "alice"
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(timeout=30) == 128 + signal.SIGTERM


def test_a_process_that_ends_is_reported(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--nodes", "1") as up:
        node = next(process for process in up.state["processes"] if process["name"] == "node-1")
        os.killpg(node["pid"], signal.SIGKILL)
        wait_until(lambda: "node-1 ended" in up.output.read_text(), "the report")


def test_the_nodes_may_run_another_application(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--nodes", "2", "--node", "flask-session") as up:
        assert "2 flask-session nodes, sessions in redis" in up.output.read_text()
        assert (up.state["node"], up.state["session_cookie"]) == ("flask-session", "session")
        browser = HttpClient(up.state["url"])
        browser.log_in(up.state["users"])
        assert {node_of(browser.get("/me")) for _ in range(4)} == {"node-1", "node-2"}
        assert browser.user == "alice"


def test_a_folder_holds_one_cluster(shared: Up) -> None:
    refused = run_command("up", "--port", "0", "--state", str(shared.folder))
    assert refused.returncode == 1
    assert f"in use by a cluster (pid {shared.process.pid})" in refused.stderr


def test_starting_costs_at_most_six_seconds_of_cpu(tmp_path: Path) -> None:
    """Wall time is the machine's load; what the start itself costs is the processor time of all that it started."""
    started = time.monotonic()
    with running(tmp_path / "state") as up:
        wall = time.monotonic() - started
        everyone = [psutil.Process(up.process.pid), *map(psutil.Process, up.pids)]
        spent = sum(sum(process.cpu_times()[:4]) for process in everyone)
    assert spent < 6, f"{spent:.1f} s of CPU, {wall:.1f} s in all"  # two cores: three seconds


def test_a_node_is_killed_by_its_name_from_another_terminal(tmp_path: Path) -> None:
    with running(tmp_path / "state") as up:
        where = ("--state", str(up.folder))
        (pid,) = [one["pid"] for one in up.state["processes"] if one["name"] == "node-2"]
        done = run_command("kill", "node-2", *where)
        assert (done.returncode, done.stdout.split(" of ")[0]) == (0, "killed node-2")
        wait_until(lambda: not lives(pid), "node-2 has ended", 10)
        wait_until(lambda: "node-2 ended" in up.output.read_text(), "up reports it", 10)
        again = run_command("kill", "node-2", *where)
        assert (again.returncode, again.stderr) == (1, "Error: node-2 has ended already\n")
        unknown = run_command("kill", "node-9", *where)
        assert "has no node-9; it has proxy, node-1, node-2, node-3, store" in unknown.stderr
    gone = run_command("kill", "node-1", *where)
    assert (gone.returncode, gone.stderr) == (1, f"Error: no cluster runs with --state {up.folder}\n")
