"""The files of the targets that come with the project."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.cluster import Role
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.description import read_description
from loadtest.described.schema import RuntimeKind
from loadtest.history import Action

TARGETS = Path(__file__).parents[4] / "loadtest" / "targets"
FILES = sorted(TARGETS.glob("*/*.toml"))
PARSED = {path: read_description(path) for path in FILES}


def test_each_application_has_a_file() -> None:
    folders = {path.parent.name for path in FILES}
    assert folders == {"django", "express", "flask_session", "php", "shop", "starlette"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_file_describes_all_that_can_be_looked_for(path: Path) -> None:
    file = PARSED[path].file
    assert {Action.LOOK, Action.LOGIN, Action.LOGOUT, Action.VISIT, Action.ADD} <= DescribedAdapter.from_file(
        file
    ).actions
    assert file.requests.look.counter is not None
    assert file.requests.look.items is not None
    runtime = file.runtime
    assert runtime is not None
    assert {role for role in Role if getattr(runtime.roles, role)} >= {Role.PROXY, Role.NODE, Role.STORE}
    assert len(runtime.roles.node) == 3
    if runtime.kind is RuntimeKind.COMPOSE:
        assert runtime.files
    else:
        assert all(runtime.members[name].start and runtime.members[name].ready for name in runtime.roles.members)


def test_two_targets_can_run_at_the_same_time() -> None:
    """Except for variants of one application."""
    urls: dict[str, str] = {}
    for path in FILES:
        assert urls.setdefault(PARSED[path].file.url, path.parent.name) == path.parent.name


def test_the_users_are_those_that_the_applications_know() -> None:
    users = msgspec.json.decode((TARGETS / "users.json").read_bytes())["users"]
    for path in FILES:
        assert PARSED[path].file.users.accounts == users


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage: python -m loadtest.targets.run PROGRAM ARGUMENT..."),
        (["no-such-program"], "cannot run no-such-program"),
    ],
)
def test_a_server_that_can_not_start_says_so_in_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtest.targets.run", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


def test_a_server_has_the_programs_of_the_wheels(tmp_path: Path) -> None:
    shell = ["sh", "-c", "for one in nginx valkey-server python; do command -v $one; done"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.targets.run", *shell], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [Path(line).name for line in done.stdout.splitlines()] == ["nginx", "valkey-server", "python"]
