"""`session-cluster bench` in short form, on the real servers."""

import json
import re
import shutil
from pathlib import Path

from loadtest.bench.servers import APPLICATIONS
from tests.support.commands import run_command

USES = {
    "flask-alone": ["none"],
    "express-alone": ["none"],
    "redis-01db56e": ["read", "write"],
    "node": ["read"],
    "node-01db56e": ["read"],
}


def test_a_short_run_has_every_row_with_plausible_figures(tmp_path: Path) -> None:
    options = ("--requests", "100", "--repeat", "1", "--connections", "4")
    done = run_command("bench", *options, "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    record = json.loads((tmp_path / "bench.json").read_text())
    rows = {row["application"]: row for row in record["rows"]}
    assert set(rows) == {application.name for application in APPLICATIONS}
    assert record["machine"]["cpu"] in " ".join(done.stdout.split())
    measured = [row for row in rows.values() if "missing" not in row]
    for row in measured:
        uses = [use for use in ("read", "write", "unused", "none") if use in row]
        assert uses == USES.get(row["application"], ["read", "write", "unused", "none"])
        for use in uses:
            assert 10 < row[use]["cpu_us_median"] < 50_000
            assert 10 < row[use]["requests_per_second"][0] < 100_000
            assert (row[use]["cpu_us_spread"], row[use]["requests_per_second_spread"]) == (0, 0)  # of one repetition
    for name in ("redis", "flask-session"):
        assert 300 < rows[name]["session_bytes"] < 1500
        assert 1 < rows[name]["read"]["redis_cpu_us"][0] < 10_000
    assert record["ratios"][0]["what"] == "a read adds, beside Flask-Session 0.8, 4 connections"
    assert [ratio["what"] for ratio in record["ratios"][-2:]] == [
        "CPU of GET /me, beside a node of 01db56e, 4 connections",
        "the Redis' CPU of a read and a write, beside 01db56e on Redis, 4 connections",
    ]
    assert record["bytes"][0]["goal"] == 1
    assert "requests a second" in done.stdout
    words = " ".join(done.stdout.split())
    assert re.search(r"bytes, beside Flask-Session 0\.8: \d+ to \d+, \S+ \(goal: at most 1, (met|missed)\)", words)


def test_without_node_its_rows_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("env", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    done = run_command(
        "bench",
        "--requests",
        "20",
        "--repeat",
        "1",
        "--only",
        "flask-alone",
        "--only",
        "express-alone",
        PATH=str(folder),
    )
    assert done.returncode == 0, done.stderr
    assert "Express alone" in done.stdout
    assert "`node` is not in PATH" in " ".join(done.stdout.split())


def test_without_the_history_of_the_checkout_its_rows_say_so(tmp_path: Path) -> None:
    options = ("--requests", "20", "--repeat", "1", "--connections", "1")
    done = run_command(
        *("bench", *options, "--only", "redis-01db56e", "--only", "node-01db56e"), GIT_DIR=str(tmp_path / "nothing")
    )
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    for title in ("01db56e on Redis", "a node of 01db56e"):
        assert f"{title}: not measured, the nodes of 01db56e need the history of the checkout" in words
    assert "Flask alone" in words


def test_an_unknown_application_is_refused_in_one_line() -> None:
    done = run_command("bench", "--only", "django")
    assert done.returncode == 2
    assert "django" in done.stderr.splitlines()[-1]
