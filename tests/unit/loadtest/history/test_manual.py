"""The examples of docs/history.md: the history proves what the page says, and the programs run."""

import gzip
import re
import textwrap
from pathlib import Path

import pytest

from loadtest.checker import Kind, check
from loadtest.history import End, Header, Mark, Note, Op, Probe, read

PAGE = (Path(__file__).parents[4] / "docs" / "history.md").read_text()


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The history in the documentation, as a file."""
    lines = re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE)
    path = tmp_path / "history.jsonl.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_the_example_in_the_documentation_proves_what_it_says(example: Path) -> None:
    events = list(read(example))
    assert {type(event) for event in events} == {Header, Op, Probe, Mark, Note, End}
    findings = check(events)
    assert findings.total.found == {Kind.UPDATE_LOST: 1}
    assert findings.gap == pytest.approx(0.2)
    assert (findings.total.failed, findings.total.unknown) == (1, 1)
    assert list(findings.phases) == ["before", "during"]


def test_the_example_program_in_the_documentation_runs(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example.parent)
    programs = re.findall(r"^    from loadtest\.\w+ import (?:.*\n)(?:(?:    .*)?\n)*", PAGE, re.MULTILINE)
    assert len(programs) == 2
    for program in programs:
        exec(textwrap.dedent(program), {"events": list(read("history.jsonl.gz"))})
