"""`python -m nodes.admin`, `nodes.accounts` and `nodes.stores`, on the store that a node uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodes import Settings, create_app
from nodes.accounts.__main__ import main as accounts_main
from nodes.admin import main
from nodes.stores import main as stores_main
from tests.support.node import PASSWORD, environment
from tests.support.node_app import attempt_login, log_in, user_of


@pytest.fixture
def variables(own_users_file: Path, tmp_path: Path) -> dict[str, str]:
    return environment(own_users_file, SESSION_STORE="file", SESSION_FOLDER=str(tmp_path / "sessions"))


def test_a_mistyped_option_creates_no_table(variables: dict[str, str], tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    variables |= {"SESSION_STORE": "sql", "DATABASE_URL": f"sqlite:///{database}"}
    del variables["SESSION_FOLDER"]
    assert CliRunner().invoke(stores_main, ["--chek"], env=variables).exit_code == 2
    assert not database.exists()
    assert CliRunner().invoke(stores_main, [], env=variables).exit_code == 0
    assert database.exists()


def admin(variables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=dict(variables))


def accounts(variables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(accounts_main, arguments, env=dict(variables))


def test_sessions_are_listed_and_ended_and_users_disabled_and_enabled(variables: dict[str, str]) -> None:
    app = create_app(Settings.from_environ(variables))
    one, two, bob = log_in(app), log_in(app), log_in(app, "bob")
    assert len(admin(variables, "list", "--user", "alice").output.splitlines()) == 2
    assert accounts(variables, "disable", "alice").output == "alice is disabled; 2 sessions ended\n"
    assert [user_of(browser) for browser in (one, two, bob)] == [None, None, "bob"]
    assert attempt_login(app.test_client(), password=PASSWORD).status_code == 401
    assert accounts(variables, "enable", "alice").exit_code == 0
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
    ],
)
def test_a_mistake_is_answered_in_one_line(variables: dict[str, str], arguments: list[str], message: str) -> None:
    result = admin(variables, *arguments)
    assert result.exit_code != 0
    assert message in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["disable", "nobody"], "no such user: 'nobody'"),
        (["password", "nobody"], "no such user: 'nobody'"),
        (["add", "alice"], "user 'alice' exists already"),
        (["add", "not a name"], "user 'not a name': use 1 to 64 letters"),
        (["import", "/nowhere.json"], "cannot read /nowhere.json"),
    ],
)
def test_a_mistake_about_a_user_is_answered_in_one_line(
    variables: dict[str, str], arguments: list[str], message: str
) -> None:
    result = accounts(variables, *arguments)
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert message in result.output


def test_users_are_added_and_get_new_passwords_while_nodes_serve(variables: dict[str, str]) -> None:
    app = create_app(Settings.from_environ(variables))
    name, password = accounts(variables, "add", "carol").output.split()
    carol = app.test_client()
    assert attempt_login(carol, name, password).status_code == 200
    name, new = accounts(variables, "password", "carol").output.split()
    assert user_of(carol) is None
    assert [attempt_login(carol, name, word).status_code for word in (password, new)] == [401, 200]
    accounts(variables, "disable", "bob")
    assert accounts(variables, "list").output == "alice\nbob disabled\ncarol\n"


def test_an_import_adds_the_users_of_a_file_and_changes_no_other(variables: dict[str, str], tmp_path: Path) -> None:
    without_file = variables | {"USERS_FILE": ""}
    accounts(without_file, "add", "bob")
    assert accounts(without_file, "import", variables["USERS_FILE"]).output == "1 of 2 users added\n"
    app = create_app(Settings.from_environ(without_file))
    assert [attempt_login(app.test_client(), name, PASSWORD).status_code for name in ("alice", "bob")] == [200, 401]


def test_a_memory_store_has_no_users_that_a_command_could_reach(variables: dict[str, str]) -> None:
    result = accounts(variables | {"SESSION_STORE": "memory"}, "disable", "alice")
    assert "keeps users in each process" in result.output


def test_users_stay_readable_when_their_encryption_key_is_replaced(variables: dict[str, str]) -> None:
    old, new = "aa" * 32, "bb" * 32
    name, password = accounts(variables | {"SESSION_ENCRYPTION_KEYS": old}, "add", "carol").output.split()
    both = variables | {"SESSION_ENCRYPTION_KEYS": f"{new},{old}"}
    assert accounts(both, "rewrite").output == "1 users written\n"
    app = create_app(Settings.from_environ(variables | {"SESSION_ENCRYPTION_KEYS": new}))
    assert attempt_login(app.test_client(), name, password).status_code == 200


def test_a_url_with_an_unknown_option_is_answered_in_one_line(variables: dict[str, str]) -> None:
    url = "redis://u:p@127.0.0.1:1/0?foo=bar"
    result = admin(variables | {"SESSION_STORE": "redis", "REDIS_URL": url}, "list", "--user", "alice")
    assert (result.exit_code, result.output) == (
        1,
        "Error: REDIS_URL: the URL has an unknown option: 'foo'; leave it out\n",
    )
