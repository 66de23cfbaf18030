"""A load on an application that a file describes: forms with tokens, redirects, sign-ups, HTML and JSON."""

import json
from pathlib import Path
from typing import Any

from tests.support.commands import run_command
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
