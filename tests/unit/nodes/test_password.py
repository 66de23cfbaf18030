"""Changing a password, and logins that run while a password changes or a user is disabled."""

from __future__ import annotations

import fcntl
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts import DISABLED, Users, UsersError, change_users, create_users, read_hashes, set_enabled
from nodes.sessions import StoreUnavailable
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import age_login, log_in, user_of

NEW, NEWER = "a new and longer password", "a newer and longer password"


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    create_users(path, ["alice", "bob"], PASSWORD)
    return path


@pytest.fixture
def app(users_file: Path) -> Flask:
    return create_app(Settings(node_name="n", secrets=(SECRET,), users_file=users_file))


def change(client: FlaskClient, current: str = PASSWORD, new: str = NEW) -> Any:
    return client.post("/password", json={"current": current, "new": new})


def enter(client: FlaskClient, password: str = PASSWORD) -> Any:
    return client.post("/login", json={"user": "alice", "password": password})


def can_log_in(app: Flask, password: str) -> bool:
    return bool(enter(app.test_client(), password).status_code == 200)


def test_the_new_one_opens_the_account_and_the_old_one_does_not(app: Flask, users_file: Path) -> None:
    mine = log_in(app)
    before = mine.get_cookie("session")
    assert change(mine).status_code == 204
    after = mine.get_cookie("session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert (can_log_in(app, NEW), can_log_in(app, PASSWORD)) == (True, False)
    assert stat.S_IMODE(users_file.stat().st_mode) == 0o600


def test_all_other_sessions_of_the_user_end(app: Flask) -> None:
    mine, other, bob = log_in(app), log_in(app), log_in(app, "bob")
    change(mine)
    assert [user_of(client) for client in (mine, other, bob)] == ["alice", None, "bob"]


def test_another_node_knows_it_at_once(app: Flask, users_file: Path) -> None:
    other = create_app(Settings(node_name="other", secrets=(SECRET,), users_file=users_file))
    assert can_log_in(other, PASSWORD)
    change(log_in(app))
    assert (can_log_in(other, NEW), can_log_in(other, PASSWORD)) == (True, False)


def test_it_needs_a_fresh_login(app: Flask) -> None:
    mine = log_in(app)
    age_login(app, 301)
    assert change(mine).status_code == 401
    assert change(app.test_client()).status_code == 401
    assert can_log_in(app, PASSWORD)


@pytest.mark.parametrize(
    ("current", "new", "status"),
    [
        ("wrong", NEW, 403),
        (PASSWORD, "short", 422),
        (PASSWORD, "x" * 1025, 422),
        (PASSWORD, "é" * 513, 422),
        (PASSWORD, "x" * 8, 204),
        (PASSWORD, "x" * 1024, 204),
        (PASSWORD, "é" * 512, 204),
    ],
)
def test_only_what_can_be_a_password_replaces_the_right_one(app: Flask, current: str, new: str, status: int) -> None:
    assert change(log_in(app), current, new).status_code == status
    assert can_log_in(app, new if status == 204 else PASSWORD)
    if status == 204:
        assert not can_log_in(app, new[:-1])  # nothing is cut off


def test_guessing_the_old_one_is_throttled_too(app: Flask) -> None:
    mine = log_in(app)
    assert [change(mine, "wrong").status_code for _ in range(11)] == [403] * 10 + [429]


def test_where_nothing_can_be_written_it_says_so(app: Flask, users_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UsersError(f"cannot write {users_file}: Read-only file system")

    mine = log_in(app)
    monkeypatch.setattr("nodes.accounts.change_users", refuse)
    answer = change(mine)
    assert answer.status_code == 422
    assert "could not be stored" in answer.get_json()["error"]
    assert str(users_file) not in answer.text
    assert can_log_in(app, PASSWORD)


def test_a_disabled_user_takes_as_long_and_is_refused_the_same(users_file: Path) -> None:
    users = Users(users_file)
    set_enabled(users_file, "alice", enabled=False)
    assert not users.verify("alice", PASSWORD)
    set_enabled(users_file, "alice", enabled=True)
    assert users.verify("alice", PASSWORD)


def test_changes_at_the_same_time_are_all_kept(users_file: Path) -> None:
    def copy_alice(name: str) -> None:
        with change_users(users_file) as hashes:
            hashes[name] = hashes["alice"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy_alice, [f"user{number}" for number in range(8)]))
    assert set(read_hashes(users_file)) == {"alice", "bob", *(f"user{number}" for number in range(8))}


def test_a_file_that_was_damaged_meanwhile_changes_nobodys_password(users_file: Path) -> None:
    users = Users(users_file)
    users_file.write_text("{half")
    assert users.verify("alice", PASSWORD)


# ---- overtaken


def after_hashing(app: Flask, users_file: Path, number: int, happens: Callable[[], object]) -> None:
    """Has `happens` done once, right after the app hashed its next password but `number`."""
    left = [number]

    def run(hashing: Callable[[], bool]) -> bool:
        answer = hashing()
        left[0] -= 1
        if left[0] == -1:
            happens()
        return answer

    app.extensions["users"] = Users(users_file, run=run)


def disable(app: Flask, users_file: Path, user: str = "alice") -> None:
    """As `nodes.admin` does."""
    set_enabled(users_file, user, enabled=False)
    app.extensions["sessions"].users.end_all(user)


def alive(app: Flask, user: str = "alice") -> int:
    return len(app.extensions["sessions"].users.of(user))


def test_a_login_does_not_outrun_the_disabling_of_its_user(app: Flask, users_file: Path) -> None:
    before, client = log_in(app), app.test_client()
    wrong = enter(client, "wrong password")
    after_hashing(app, users_file, 0, lambda: disable(app, users_file))
    answer = enter(client)
    assert (answer.status_code, answer.data) == (401, wrong.data)
    assert "Set-Cookie" not in answer.headers
    assert (user_of(client), user_of(before), alive(app)) == (None, None, 0)


def test_a_login_does_not_outrun_a_change_of_its_password(app: Flask, users_file: Path) -> None:
    mine, thief = log_in(app), app.test_client()
    after_hashing(app, users_file, 0, lambda: change(mine))
    assert enter(thief).status_code == 401
    assert (user_of(thief), user_of(mine), alive(app)) == (None, "alice", 1)


def test_a_browser_that_logs_in_again_meanwhile_is_logged_out_by_it(app: Flask, users_file: Path) -> None:
    client = log_in(app)
    after_hashing(app, users_file, 0, lambda: disable(app, users_file))
    answer = enter(client)
    assert answer.status_code == 401
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert (user_of(client), alive(app)) == (None, 0)


def test_where_the_session_made_in_vain_can_not_be_ended_no_browser_gets_it(
    app: Flask, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_key: str) -> None:
        raise StoreUnavailable("out of reach")

    def go_dark() -> None:
        disable(app, users_file)
        monkeypatch.setattr(app.extensions["store"].wraps, "delete", refuse)

    client = app.test_client()
    monkeypatch.setattr("nodes.rate_limit.Guess.success", lambda _guess: None)
    after_hashing(app, users_file, 0, go_dark)
    answer = enter(client)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
    assert user_of(client) is None


def test_a_change_of_password_does_not_enable_who_was_disabled_meanwhile(app: Flask, users_file: Path) -> None:
    client = log_in(app)
    after_hashing(app, users_file, 0, lambda: disable(app, users_file))
    assert change(client).status_code == 403
    assert read_hashes(users_file)["alice"].startswith(DISABLED)
    assert (user_of(client), alive(app)) == (None, 0)
    set_enabled(users_file, "alice", enabled=True)
    assert enter(app.test_client()).status_code == 200  # the password is what it was


def test_disabling_a_user_ends_the_session_of_a_concurrent_password_change(app: Flask, users_file: Path) -> None:
    client = log_in(app)
    after_hashing(app, users_file, 1, lambda: disable(app, users_file))
    answer = change(client)
    assert answer.status_code == 401
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert (user_of(client), alive(app)) == (None, 0)
    set_enabled(users_file, "alice", enabled=True)
    assert enter(app.test_client(), NEW).status_code == 200


def test_of_two_changes_at_the_same_time_the_second_is_refused(app: Flask, users_file: Path) -> None:
    mine, thief = log_in(app), log_in(app)
    after_hashing(app, users_file, 0, lambda: change(mine))
    assert change(thief, new=NEWER).status_code == 403
    assert [enter(app.test_client(), word).status_code for word in (NEW, NEWER, PASSWORD)] == [200, 401, 401]
    assert (user_of(mine), user_of(thief)) == ("alice", None)


def test_disabling_a_user_keeps_a_password_that_is_being_changed(
    users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, flock = Users(users_file), fcntl.flock
    before = users.verify("alice", PASSWORD)
    assert before is not None

    def somebody_was_faster(*arguments: Any) -> None:
        monkeypatch.setattr("fcntl.flock", flock)
        users.set_password("alice", NEW, instead_of=before)
        flock(*arguments)

    monkeypatch.setattr("fcntl.flock", somebody_was_faster)
    set_enabled(users_file, "alice", enabled=False)
    assert users.verify("alice", NEW) is None
    set_enabled(users_file, "alice", enabled=True)
    assert users.verify("alice", NEW)
    with pytest.raises(UsersError, match="meanwhile"):
        users.set_password("alice", NEWER, instead_of=before)
