"""The workflows of .github: mistakes that `make check` notices, targets of make that they call, notes of a release."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
VERSION = "1.2.3"
CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.3] - 2026-12-01

### Added

- a thing

## [1.2.2] - 2026-11-01

- old
"""


def check(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment, as `make check` does."""
    program = Path(sys.executable).parent / command[0]
    done = [str(program), *command[1:], *map(str, sorted(folder.iterdir()))]
    return subprocess.run(done, capture_output=True, text=True, check=False, timeout=60)


SCHEMA = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
AUDIT = ("zizmor", "--offline", "--no-progress", "--persona=pedantic")


@pytest.mark.parametrize(
    ("command", "mistakes"),
    [
        (
            SCHEMA,
            [
                ("tests.yaml", "timeout-minutes: 20", "timeout-minute: 20", "'timeout-minute' was unexpected"),
                ("release.yaml", "contents: write", "contents: everything", "'everything' is not one of"),
                ("release.yaml", "    needs: tests\n", "    need: tests\n", "'need' was unexpected"),
            ],
        ),
        (
            AUDIT,
            [
                ("tests.yaml", "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
                ("tests.yaml", "permissions: {}\n", "permissions: write-all\n", "excessive-permissions"),
                ("tests.yaml", '"$TIER"', '"${{ github.head_ref }}"', "template-injection"),
                ("release.yaml", "persist-credentials: false", "show-progress: true", "artipacked"),
            ],
        ),
    ],
    ids=["schema", "audit"],
)
def test_mistakes_in_workflows_are_noticed(
    tmp_path: Path, command: tuple[str, ...], mistakes: list[tuple[str, str, str, str]]
) -> None:
    folder = Path(shutil.copytree(WORKFLOWS, tmp_path / "workflows"))
    for name, right, wrong, _ in mistakes:
        text = (folder / name).read_text()
        assert right in text
        (folder / name).write_text(text.replace(right, wrong, 1))
    done = check(folder, *command)
    assert done.returncode != 0
    assert [expected for *_, expected in mistakes if expected not in done.stdout + done.stderr] == []


def test_targets_of_make_that_workflows_call_exist() -> None:
    texts = [path.read_text() for path in WORKFLOWS.iterdir()]
    called = {name for text in texts for name in re.findall(r"\bmake ([a-z][a-z-]*)$", text, re.MULTILINE)}
    tiers = re.findall(r"tier: \[(.*)\]", (WORKFLOWS / "tests.yaml").read_text())[0].split(", ")
    assert {"setup", "check", "dist", "test", "test-docker", "test-cluster"} <= called | set(tiers)
    for name in sorted(called | set(tiers)):
        subprocess.run(["make", "--dry-run", name], cwd=ROOT, check=True, capture_output=True)


def test_the_actions_have_one_version_each() -> None:
    used = [
        found for path in WORKFLOWS.iterdir() for found in re.findall(r"uses: (\S+)@(\S+) # (\S+)", path.read_text())
    ]
    assert len({action for action, *_ in used}) == len(set(used)) >= 5


def test_a_definition_with_another_checksum_is_not_kept(tmp_path: Path) -> None:
    script = tmp_path / "checkout" / ".ci" / "gateway-api"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "gateway-api", script)
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text('#!/bin/sh\nwhile [ "$1" != --output ]; do shift; done\necho altered > "$2"\n')
    curl.chmod(0o755)
    environment = {"PATH": f"{curl.parent}:{os.environ['PATH']}"}
    done = subprocess.run([str(script)], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "httproutes.yaml has another checksum" in done.stderr
    assert not (tmp_path / "shared").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout at version 1.2.3, with as much as the notes need."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "release-notes", tmp_path / ".ci")
    for project in (tmp_path, tmp_path / "nodes" / "sessions"):
        project.mkdir(parents=True, exist_ok=True)
        (project / "pyproject.toml").write_text(f'[project]\nversion = "{VERSION}"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def notes(checkout: Path, tag: str = f"v{VERSION}") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / ".ci" / "release-notes"), tag]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_notes_of_a_release_are_its_section_of_the_changelog(checkout: Path) -> None:
    assert notes(checkout).stdout == "### Added\n\n- a thing\n"


@pytest.mark.parametrize(
    ("file", "text", "tag", "expected"),
    [
        ("pyproject.toml", '[project]\nversion = "1.2.4"', "v1.2.3", "pyproject.toml has version 1.2.4"),
        ("nodes/sessions/pyproject.toml", '[project]\nversion = "1.2.2"', "v1.2.3", "the tag must be v1.2.2"),
        ("CHANGELOG.md", CHANGELOG, "1.2.3", "not 1.2.3"),
        ("CHANGELOG.md", CHANGELOG.replace("[1.2.3]", "[1.2.30]"), "v1.2.3", "CHANGELOG.md has no section"),
        ("CHANGELOG.md", "## [1.2.3] - 2026-12-01\n\n## [1.2.2] - 2026-11-01\n- a", "v1.2.3", "with notes"),
    ],
)
def test_a_tag_that_does_not_fit_the_checkout_is_refused(
    checkout: Path, file: str, text: str, tag: str, expected: str
) -> None:
    (checkout / file).write_text(text)
    done = notes(checkout, tag)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
