"""docs/security.md and docs/outages.md name only tests that exist, and values that are the configured ones."""

import ast
import re
from pathlib import Path

from nodes.sessions import SessionOptions
from tests.support.node import ROOT, SECRET

DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
OUTAGES = (ROOT / "docs" / "outages.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", DOCUMENT + OUTAGES)


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_the_document_names_exists() -> None:
    assert NAMED
    for path, name in NAMED:
        assert name in names_in(ROOT / path), f"{path}::{name}"


def test_every_security_test_is_in_the_document() -> None:
    here = Path(__file__)
    for path in here.parent.glob("test_*.py"):
        for name in names_in(path) if path != here else ():
            assert (path.relative_to(ROOT).as_posix(), name) in NAMED, name


def test_no_row_is_open() -> None:
    rows = [line for line in DOCUMENT.split("## ASVS")[1].splitlines() if line.startswith("| ")]
    rows += [line for line in OUTAGES.split("What the table can't say")[1].splitlines() if line.startswith("| ")]
    for row in rows:
        assert row.endswith("| test |") or re.search(r"`tests/[\w/]+\.py::test_\w+` \|$", row), row


def test_a_test_that_is_named_after_an_id_stands_in_the_row_of_that_id() -> None:
    for ids, tests in re.findall(r"^\| ([\d., x-]+) \|.*\| ([^|]+) \|$", DOCUMENT, re.MULTILINE):
        for name in re.findall(r"::test_((?:\d+_)+)", tests):
            numbers = name.strip("_").replace("_", ".")
            assert numbers in ids, f"{name}: {ids}"


def test_7_1_1_the_documented_values_are_the_configured_ones() -> None:
    options = SessionOptions(secrets=(SECRET,))
    documented = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+|none)", DOCUMENT, re.MULTILINE))
    assert set(documented) == {"idle_timeout", "absolute_timeout", "max_bytes", "max_sessions"}
    for name, value in documented.items():
        expected = None if value == "none" else int(value.replace(",", ""))
        assert getattr(options, name) == expected, name
