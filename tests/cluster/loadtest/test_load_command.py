"""`session-cluster load`, as a person runs it."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy import ClusterSpec, LocalCluster, StoreKind
from deploy.ports import free_ports
from loadtest.checker import check
from loadtest.history import read
from tests.support.commands import COMMAND, interrupt_command, run_command
from tests.support.node import ROOT
from tests.support.stand_in import ACCOUNTS, StandIn, serving

FEW = ("--users", "15", "--wait", "0.02", "0.08", "--duration", "3")


def run(*options: object, **changes: str) -> "subprocess.CompletedProcess[str]":
    return run_command("load", *options, **changes)


def users_file(folder: Path, **more: object) -> Path:
    path = folder / "users.json"
    path.write_text(json.dumps({"users": ACCOUNTS, **more}))
    return path


def test_a_load_on_a_new_cluster_loses_nothing_and_keeps_its_history(tmp_path: Path) -> None:
    done = run(*FEW, "--nodes", 2, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "15 users, ",
        "p99.9 ms",
        "GET    /me",
        "POST   /visits",
        "✓ users logged out 0 of 15, sessions lost 0 of ",
        "✓ requests failed 0",
    ):
        assert text in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 80
    kept: dict[str, Any] = json.loads((tmp_path / "out" / "load.json").read_text())
    assert kept["target"]["store"] == "redis"
    assert kept["target"]["nodes"] == 2
    assert kept["plan"]["users"] == kept["load"]["users"] == 15
    assert kept["verdicts"]["nothing lost"] == {"verdict": "holds", "reason": ""}
    assert set(kept["load"]["nodes"]) == {"node-1", "node-2"}
    assert kept["latency"]["total"]["requests"] == kept["load"]["requests"] > 100
    findings = check(read(tmp_path / "out" / kept["history"]))
    assert findings.complete
    assert findings.total.operations == kept["findings"]["total"]["operations"]


def test_a_load_that_loses_sessions_exits_with_1() -> None:
    done = run(*FEW, "--store", "memory", "--nodes", 2, "--workers", 2)
    assert done.returncode == 1
    assert "✗ users logged out " in done.stdout
    assert re.search(r" x session lost[^.]*; expected none\.", " ".join(done.stdout.split()))
    assert done.stderr == ""


def test_a_load_runs_on_any_target_with_its_users_and_cookie(tmp_path: Path) -> None:
    with serving(StandIn()) as url:
        done = run(*FEW, "--target", url, "--users-file", users_file(tmp_path), "--mix", "visitor=1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "/cart" not in done.stdout
        everybody = run(*FEW, "--target", url, CLUSTER_USERS_FILE=str(users_file(tmp_path)))
        assert everybody.returncode == 0, everybody.stderr
        assert "POST   /cart" in everybody.stdout
    with serving(StandIn(forgetful_cart=True)) as url:
        forgetful = run(*FEW, "--target", url, "--users-file", users_file(tmp_path))
    assert forgetful.returncode == 1
    assert "first update lost: shopper-" in forgetful.stdout


def test_a_load_with_failed_requests_exits_with_1(tmp_path: Path) -> None:
    with serving(StandIn(failed_visits=True)) as url:
        done = run(*FEW, "--target", url, "--users-file", users_file(tmp_path))
    assert done.returncode == 1
    assert "✗ requests failed " in done.stdout
    assert "x POST /visits: status 502" in " ".join(done.stdout.split())


@pytest.mark.nightly
def test_a_load_over_tls_trusts_the_authority_of_the_target(tmp_path: Path) -> None:
    spec = ClusterSpec(nodes=1, store=StoreKind.REDIS, tls=True)
    with LocalCluster(spec, tmp_path / "state") as cluster:
        options = (
            *FEW,
            "--spawn-rate",
            8,
            "--target",
            cluster.url,
            "--users-file",
            tmp_path / "state" / "cluster.json",
        )
        done = run(*options, "--ca", cluster.authority)
        assert done.returncode == 0, done.stdout + done.stderr
        distrusted = run(*options)
    assert distrusted.returncode == 1
    assert "is not trusted" in distrusted.stderr


def test_the_matrix_says_how_long_it_takes_and_measures_each_cell(tmp_path: Path) -> None:
    options = ("--stores", "memory,redis", "--balances", "round_robin", "--nodes", "1,2", "--duration", 2, "--users", 8)
    done = run("--matrix", *options, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("4 clusters, 2 s each: about 38 s\n")
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 80
    rows = {(row["store"], row["nodes"]): row for row in json.loads((tmp_path / "matrix.json").read_text())["rows"]}
    assert set(rows) == {("memory", 1), ("memory", 2), ("redis", 1), ("redis", 2)}
    for row in rows.values():
        assert row["requests_per_second"] > 5
        assert 0.2 < row["cpu_ms"]["node"] < 200
        assert row["load"]["failed"] == 0
    for nodes in (1, 2):
        assert 1 < rows["redis", nodes]["store_operations"] < 12
        assert 0.5 < rows["redis", nodes]["store_reads"] < 4
        assert rows["redis", nodes]["load"]["logged_out"] == 0
        assert rows["memory", nodes]["store_operations"] is None
    assert rows["memory", 1]["load"]["logged_out"] == 0
    assert rows["memory", 2]["load"]["logged_out"] > 0
    assert rows["memory", 2]["cpu_ms"]["node"] > 2 * rows["memory", 1]["cpu_ms"]["node"], "logging in again costs"
    assert (tmp_path / "matrix.md").read_text().startswith("| store | balancing | nodes |")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_load_and_all_of_its_processes(number: signal.Signals) -> None:
    words = ("load", "--users", "12", "--workers", "2", "--nodes", "2", "--duration", "60")
    status, rest, processes = interrupt_command(number, ": load (next", *words)
    assert (status, processes >= 8) == (130, True)
    assert "everything has been ended" in rest


def test_a_matrix_that_is_stopped_shows_and_keeps_the_rows_it_has(tmp_path: Path) -> None:
    words = ("--stores", "memory,file", "--nodes", "1", "--duration", "1", "--users", "4", "--out", str(tmp_path))
    status, rest, _ = interrupt_command(signal.SIGINT, "2/2 file, 1 node: load", "load", "--matrix", *words)
    assert status == 130
    assert "Stopped after 1 of 2 clusters; everything has been ended." in rest
    (row,) = json.loads((tmp_path / "matrix.json").read_text())["rows"]
    assert row["store"] == "memory"
    assert f" {row['requests_per_second']:,.0f} " in rest


def test_a_load_that_cannot_write_any_more_is_one_line(tmp_path: Path) -> None:
    options = (*FEW, "--users-file", users_file(tmp_path))
    with serving(StandIn()) as url:
        command = [*COMMAND, "load", "--target", url, *map(str, options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            next(line for line in process.stdout if ": load (next" in line)
            psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (0, 0))  # as a full disk
            lines = process.stderr.read().splitlines()
    assert process.returncode == 1
    assert len(lines) == 1
    assert "Error: cannot write to " in lines[0]


def test_a_stopped_load_keeps_the_result_of_an_earlier_one(tmp_path: Path) -> None:
    before = {name: f"earlier {name}" for name in ("load.json", "history.jsonl.gz")}
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    words = ("load", "--users", "4", "--nodes", "1", "--store", "memory", "--out", str(tmp_path))
    assert interrupt_command(signal.SIGINT, ": load (next", *words)[0] == 130
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_taken_port_for_the_page_is_one_line() -> None:
    with serving(StandIn()) as url:
        done = run("--web", url.rpartition(":")[2])
    assert done.returncode == 1
    assert "choose another with --web" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_load_on_a_target_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run("--target", f"http://127.0.0.1:{free_ports(1)[0]}", "--users-file", users_file(tmp_path))
    assert done.returncode == 1
    assert "does not answer: " in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - began < 30
