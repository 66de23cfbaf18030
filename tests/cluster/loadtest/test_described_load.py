"""A load on an application that a file describes: forms with tokens, redirects, sign-ups, HTML and JSON."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.commands import COMMAND, run_command
from tests.support.described import write_small_shop
from tests.support.node import ROOT
from tests.support.plain_shop import FILE, PlainShop, serving_shop

LOAD = ("--users", 12, "--wait", 0, 0.05, "--duration", 2, "--spawn-rate", 100, "--mix", "visitor=4,shopper=4,leaver=4")
KEY = ("kind", "item", "who", "at")
"""The fields by which requests belong to evidence."""


def run(tmp_path: Path, shop: PlainShop) -> tuple[int, str, dict[str, Any]]:
    """Return the exit status, the output and the record of a load on the application."""
    with serving_shop(shop) as url:
        (tmp_path / "shop.toml").write_text(FILE.replace("URL", url))
        done = run_command("load", "--target", tmp_path / "shop.toml", *LOAD, "--out", tmp_path / "out")
    record = tmp_path / "out" / "load.json"
    return done.returncode, done.stdout + done.stderr, json.loads(record.read_text()) if record.exists() else {}


def test_a_load_on_a_described_application_loses_nothing_and_says_what_it_can_not_find(tmp_path: Path) -> None:
    status, printed, record = run(tmp_path, shop := PlainShop())
    assert status == 0, printed
    assert record["target"]["node"] == "Plain shop"
    assert record["verdicts"]["nothing lost"]["verdict"] == "holds"
    assert len(shop.users) == 6
    assert {row["name"] for row in record["latency"]["rows"]} >= {"/", "/api", "/count", "/list", "/login"}
    assert "not looked for: emptying undone: shop.toml has no request empty" in printed
    assert max(len(line) for line in printed.splitlines() if str(tmp_path) not in line) <= 80


def test_planted_faults_of_an_application_are_found_with_their_requests(tmp_path: Path) -> None:
    status, printed, record = run(tmp_path, PlainShop(loses_counts=True, revives=True, crosses=True))
    assert status == 1, printed
    found = record["findings"]["examples"]
    for kind, proofs, after in (
        ("update lost", {"/", "/api"}, {"/count", "/list"}),
        ("logout revived", {"/", "/api"}, {"/logout"}),
        ("crossed", {"/", "/login"}, {"/login"}),  # a login shows the page that it leads to
    ):
        first = found[kind][0]
        (behind,) = [one for one in record["requests"] if all(one[name] == first[name] for name in KEY)]
        assert behind["answer"]["path"] in proofs, (kind, behind)
        assert {one["path"] for one in behind["after"]} <= after, kind
        assert behind["after"] or kind == "crossed", kind  # a value of nobody names no login
        assert f"first {kind}: {first['who']}" in printed.replace("\n    ", " ")


CRASHES = """\
end=$1; shift
"$@" &
until test -e "$(dirname "$0")/crash"; do sleep 0.05; done
kill $!; wait $!
echo "MemoryError: no room" >&2
test "$end" = 9 && kill -9 $$
exit "$end"
"""


def test_members_that_end_under_a_load_are_named_and_what_their_proxy_answers_then(tmp_path: Path) -> None:
    (tmp_path / "node.sh").write_text(CRASHES)
    file = write_small_shop(tmp_path).path
    ends = iter(("3", "9"))
    start = re.compile(r'start = "gunicorn ')
    file.write_text(start.sub(lambda _: f'start = "sh {tmp_path}/node.sh {next(ends)} gunicorn ', file.read_text()))
    load = ("load", "--target", file, "--users", 6, "--wait", 0, 0.1, "--duration", 4, "--out", tmp_path / "out")
    environment = {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
    command = [*COMMAND, *map(str, load)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if ": load (next" in line)
        (tmp_path / "crash").touch()
        printed = process.stdout.read()
    assert process.returncode == 1, printed
    said = " ".join(printed.split())
    assert "node-1 (web-a) has ended, exit status 3: MemoryError: no room" in said
    assert "node-2 (web-b) has ended, killed by SIGKILL: MemoryError: no room" in said
    assert "status 502: probably an answer of the target's proxy. nginx leaves a server out for 10 s" in said
    record = json.loads((tmp_path / "out" / "load.json").read_text())
    assert [one["name"] for one in record["ended"]] == ["node-1 (web-a)", "node-2 (web-b)"]


def test_logins_that_are_refused_are_no_sessions(tmp_path: Path) -> None:
    status, printed, record = run(tmp_path, PlainShop(most_logins=20))
    assert status == 1, printed
    assert record["findings"]["sessions"] <= 20
    assert record["findings"]["total"]["logins"] > 20
