"""Changing a password: with a fresh login, the old one, and the end of all other sessions."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts import Users, UsersError, change_users, create_users, read_hashes, set_enabled
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import age_login, log_in, user_of

NEW = "a new and longer password"


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


def can_log_in(app: Flask, password: str) -> bool:
    return app.test_client().post("/login", json={"user": "alice", "password": password}).status_code == 200


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
        raise UsersError(f"{users_file}: can't be written (Read-only file system)")

    mine = log_in(app)
    monkeypatch.setattr("nodes.accounts.change_users", refuse)
    answer = change(mine)
    assert answer.status_code == 422
    assert "can't be written" in answer.get_json()["error"]
    assert str(users_file) not in answer.text
    assert can_log_in(app, PASSWORD)


def test_a_disabled_user_takes_as_long_and_is_refused_the_same(users_file: Path) -> None:
    users = Users(users_file)
    set_enabled(users_file, "alice", enabled=False)
    assert not users.verify("alice", PASSWORD)
    set_enabled(users_file, "alice", enabled=True)
    assert users.verify("alice", PASSWORD)


def test_changes_at_the_same_time_are_all_kept(users_file: Path) -> None:
    hash_ = read_hashes(users_file)["alice"]
    threads = [
        threading.Thread(target=change_users, args=(users_file, lambda _, name=f"user{number}": {name: hash_}))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_hashes(users_file)) == {"alice", "bob", *(f"user{number}" for number in range(8))}


def test_a_file_that_was_damaged_meanwhile_changes_nobodys_password(users_file: Path) -> None:
    users = Users(users_file)
    users_file.write_text("{half")
    assert users.verify("alice", PASSWORD)
