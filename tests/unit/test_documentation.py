"""README and docs: their commands exist and their links lead somewhere."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from session_cluster import main
from tests.support.node import ROOT
from tests.support.readme import commands

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md"))),
)


@pytest.mark.parametrize("command", [command for page in PAGES for command in commands("session-cluster", page)])
def test_a_documented_command_has_these_options(command: str) -> None:
    words = shlex.split(command)[1:]
    if "--help" in words or any(word.isupper() for word in words):  # NAME, URL: to be filled in
        return
    found: click.Command = main
    while isinstance(found, click.Group):
        child = found.get_command(click.Context(found), words.pop(0))
        assert child is not None
        found = child
    found.make_context(found.name, words)


@pytest.mark.parametrize("command", [command for page in PAGES for command in commands("make", page)])
def test_a_documented_target_of_make_exists(command: str) -> None:
    subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_has_commands() -> None:
    assert len(commands("session-cluster", "README.md")) >= 5
    assert len(commands("make", "README.md")) >= 4
    assert len(commands("docker", "README.md")) >= 4


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    path: Path = ROOT / page
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_files_of_tests_that_a_page_names_exist(page: str) -> None:
    """A check of links: docs/security.md names the tests of each row by their files."""
    for name in re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / page).read_text()):
        assert (ROOT / name).exists(), name
