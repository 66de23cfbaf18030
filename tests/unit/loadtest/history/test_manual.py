"""docs/history.md has every field, and its example is a history."""

import gzip
import re
import textwrap
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import fields

from loadtest.checker import Kind, check
from loadtest.history import Action, End, Header, Mark, Note, Op, Outcome, Probe, read

PAGE = (Path(__file__).parents[4] / "docs" / "history.md").read_text()
EVENTS: dict[str, type[msgspec.Struct]] = {
    "history": Header,
    "op": Op,
    "probe": Probe,
    "mark": Mark,
    "note": Note,
    "end": End,
}


@pytest.mark.parametrize("name", EVENTS)
def test_every_field_is_documented_and_nothing_else(name: str) -> None:
    section = PAGE.split(f"\n**{name}**,")[1].split("\n\n**")[0].split("\n## ")[0]
    documented = re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)
    assert documented == [field.name for field in fields(EVENTS[name])]


def test_every_action_and_outcome_is_documented() -> None:
    assert {action.value for action in Action} <= set(re.findall(r"`([a-z]+)`", PAGE))
    assert {outcome.value for outcome in Outcome} <= set(re.findall(r"`([a-z]+)`", PAGE))


def test_every_kind_of_finding_is_explained() -> None:
    assert set(re.findall(r"^- \*\*([a-z ]+)\*\*", PAGE, re.MULTILINE)) == set(Kind)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The history in the documentation, as a file."""
    lines = re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE)
    path = tmp_path / "history.jsonl.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_the_example_in_the_documentation_proves_what_it_says(example: Path) -> None:
    events = list(read(example))
    assert {type(event) for event in events} == set(EVENTS.values())
    findings = check(events)
    assert {kind: findings.count(kind) for kind in Kind if findings.count(kind)} == {Kind.UPDATE_LOST: 1}
    assert findings.gap == pytest.approx(0.2)
    assert (findings.total.failed, findings.total.unknown) == (1, 1)
    assert list(findings.phases) == ["before", "during"]


def test_the_example_program_in_the_documentation_runs(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example.parent)
    programs = re.findall(r"^    from loadtest\.\w+ import (?:.*\n)(?:(?:    .*)?\n)*", PAGE, re.MULTILINE)
    assert len(programs) == 2
    for program in programs:
        exec(textwrap.dedent(program), {"events": list(read("history.jsonl.gz"))})
