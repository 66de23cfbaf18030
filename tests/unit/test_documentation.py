"""README and docs: their commands exist and their links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import click
import pytest
from PIL import Image

from loadtest.cli.demo import demo
from loadtest.demo import SCENES
from loadtest.progress import Schedule, Status
from session_cluster import main
from tests import pictures
from tests.support.node import ROOT
from tests.support.readme import blocks, commands, without_remarks

README = {"en": "README.md", "ko": "README.ko.md"}
PAGES = (
    *README.values(),
    "CONTRIBUTING.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md"))),
)


def documented(program: str) -> list[str]:
    return sorted({command for page in PAGES for command in commands(program, page)})


@pytest.mark.parametrize("command", documented("session-cluster"))
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


@pytest.mark.parametrize("command", documented("make"))
def test_a_documented_target_of_make_exists(command: str) -> None:
    subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=True, capture_output=True)


def test_the_duration_of_the_demo_is_the_one_that_its_first_line_says() -> None:
    seconds = sum(Schedule(scene.variants[0].phases, Status("", 1, 1)).seconds for scene in SCENES)
    said = f"{5 * round(seconds / 5)} s"
    helps = (main.epilog or "", demo.help or "")
    pages = (*helps, *((ROOT / page).read_text() for page in ("Makefile", "README.md", "docs/load-tests.md")))
    assert all(f"about {said}" in " ".join(text.split()) for text in pages)
    assert f"약 {said.replace(' s', '초')}" in (ROOT / "README.ko.md").read_text()


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (1, 2), (2, 2), (130, 0), (143, 2)])
@pytest.mark.parametrize("target", ["up", "console", "demo"])
def test_make_takes_ctrl_c_for_no_failure(tmp_path: Path, target: str, status: int, expected: int) -> None:
    (tmp_path / "session_cluster.py").write_text(f"def main(prog_name): raise SystemExit({status})")
    ready = ("--assume-old=requirements-dev.lock", "--assume-old=pyproject.toml", "--assume-old=.venv/.ready")
    command = ["make", *ready, f"BIN={Path(sys.executable).parent}", target]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, bool(done.stderr)) == (expected, bool(expected)), done.stderr


def test_the_readme_has_commands() -> None:
    assert len(commands("session-cluster", "README.md")) >= 5
    assert len(commands("make", "README.md")) >= 4
    assert len(commands("docker", "README.md")) >= 4


@pytest.mark.parametrize("page", README.values())
def test_the_readme_is_short(page: str) -> None:
    assert len((ROOT / page).read_text().splitlines()) <= 150


def test_the_readme_has_the_same_blocks_in_both_languages_but_for_remarks() -> None:
    """So the other tests need to run the commands and examples of one of them only."""
    english, korean = ([without_remarks(block) for block in blocks(page)] for page in README.values())
    assert korean == english


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("links", r"\]\(([^)]+)\)"),
        ("code", r"`([^`]+)`"),
        ("figures", r"(?<![\w./-])\d[\d.,:]*\d|(?<![\w./-])\d"),
        ("headings", r"^(#+) "),
        ("bold texts and rows", r"^(\*\*|\|)"),
    ],
)
def test_the_readme_says_the_same_in_both_languages(what: str, pattern: str) -> None:
    english, korean = (
        Counter(re.findall(pattern, re.sub(r"(?m)^    .*$", "", (ROOT / page).read_text()), re.MULTILINE))
        for page in README.values()
    )
    del english[README["ko"]], korean[README["en"]]  # the links to each other
    assert korean == english


@pytest.mark.parametrize(("page", "other"), [("README.md", "README.ko.md"), ("README.ko.md", "README.md")])
def test_the_readme_begins_with_a_link_to_the_other_language(page: str, other: str) -> None:
    assert (ROOT / page).read_text().splitlines()[1].endswith(f"]({other})")


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


PICTURES_SHOWN = re.compile(r"!\[[^\]]{20,}\]\(((?:docs/)?pictures/(\w+)\.webp)\)")
"""A picture with a text for those who don't see it."""


@pytest.mark.parametrize("page", README.values())
def test_the_readme_begins_with_the_moving_picture(page: str) -> None:
    beginning = "\n".join((ROOT / page).read_text().splitlines()[:10])
    assert [name for _, name in PICTURES_SHOWN.findall(beginning)] == ["kill"]


def test_every_picture_is_shown_and_can_be_made_again() -> None:
    shown = {name for page in PAGES for _, name in PICTURES_SHOWN.findall((ROOT / page).read_text())}
    assert shown == {path.stem for path in pictures.FOLDER.iterdir()} == set(pictures.PICTURES)


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_small(name: str) -> None:
    path = pictures.FOLDER / f"{name}.webp"
    assert path.stat().st_size <= (1_500_000 if name == "kill" else 150_000)
    with Image.open(path) as image:
        is_moving = getattr(image, "n_frames", 1) > 1
    assert is_moving == (name == "kill")
