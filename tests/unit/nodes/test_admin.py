"""`python -m nodes.admin`, on the store that a node uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodes import Settings, create_app
from nodes.admin import main
from tests.support.node import PASSWORD, environment
from tests.support.node_app import attempt_login, log_in, user_of


@pytest.fixture
def variables(own_users_file: Path, tmp_path: Path) -> dict[str, str]:
    return environment(own_users_file, SESSION_STORE="file", SESSION_FOLDER=str(tmp_path / "sessions"))


def admin(variables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=dict(variables))


def test_sessions_are_listed_and_ended_and_users_disabled_and_enabled(variables: dict[str, str]) -> None:
    app = create_app(Settings.from_environ(variables))
    one, two, bob = log_in(app), log_in(app), log_in(app, "bob")
    assert len(admin(variables, "list", "--user", "alice").output.splitlines()) == 2
    assert admin(variables, "disable", "alice").output == "alice is disabled; 2 sessions ended\n"
    assert [user_of(browser) for browser in (one, two, bob)] == [None, None, "bob"]
    assert attempt_login(app.test_client(), password=PASSWORD).status_code == 401
    assert admin(variables, "enable", "alice").exit_code == 0
    again = log_in(app)
    assert admin(variables, "end", "--user", "alice").output == "1 sessions ended\n"
    assert [user_of(browser) for browser in (again, bob)] == [None, "bob"]
    log_in(app)
    assert admin(variables, "end", "--all").output == "2 sessions ended\n"
    assert user_of(bob) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["end"], "give --user NAME or --all"),
        (["end", "--all", "--user", "alice"], "give --user NAME or --all"),
        (["disable", "nobody"], "no such user: 'nobody'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(variables: dict[str, str], arguments: list[str], message: str) -> None:
    result = admin(variables, *arguments)
    assert result.exit_code != 0
    assert message in result.output.splitlines()[-1]


def test_a_url_with_an_unknown_option_is_answered_in_one_line(variables: dict[str, str]) -> None:
    url = "redis://u:p@127.0.0.1:1/0?foo=bar"
    result = admin(variables | {"SESSION_STORE": "redis", "REDIS_URL": url}, "list", "--user", "alice")
    assert (result.exit_code, result.output) == (
        1,
        "Error: REDIS_URL: the URL has an unknown option: 'foo'; leave it out\n",
    )
