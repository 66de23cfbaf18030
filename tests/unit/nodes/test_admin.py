"""`python -m nodes.admin`, on the store that a node uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.admin import main
from nodes.settings import StoreKind
from tests.support.node import PASSWORD, SECRET, environment
from tests.support.node_app import ALICE, log_in, user_of


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    create_users(path, ["alice", "bob"], PASSWORD)
    return path


def admin(users_file: Path, *arguments: str) -> Result:
    folder = str(users_file.with_name("sessions"))
    env = environment(users_file, SESSION_STORE="file", SESSION_FOLDER=folder)
    return CliRunner().invoke(main, arguments, env=dict(env))


def test_sessions_are_listed_and_ended_and_users_disabled_and_enabled(users_file: Path) -> None:
    folder = users_file.with_name("sessions")
    app = create_app(
        Settings(node_name="n", secrets=(SECRET,), users_file=users_file, store=StoreKind.FILE, folder=folder)
    )
    one, two, bob = log_in(app), log_in(app), log_in(app, "bob")
    assert len(admin(users_file, "list", "--user", "alice").output.splitlines()) == 2
    assert admin(users_file, "disable", "alice").output == "alice is disabled; 2 sessions ended\n"
    assert [user_of(browser) for browser in (one, two, bob)] == [None, None, "bob"]
    assert app.test_client().post("/login", json=ALICE).status_code == 401
    assert admin(users_file, "enable", "alice").exit_code == 0
    again = log_in(app)
    assert admin(users_file, "end", "--all").output == "2 sessions ended\n"
    assert [user_of(browser) for browser in (again, bob)] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["end"], "give --user NAME or --all"),
        (["end", "--all", "--user", "alice"], "give --user NAME or --all"),
        (["disable", "nobody"], "no such user: 'nobody'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(users_file: Path, arguments: list[str], message: str) -> None:
    result = admin(users_file, *arguments)
    assert result.exit_code != 0
    assert message in result.output.splitlines()[-1]
