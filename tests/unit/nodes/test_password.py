"""Changing a password, and logins that run while a password changes or a user is disabled."""

from __future__ import annotations

import fcntl
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from flask import Flask
from flask.testing import FlaskClient
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from nodes import Settings, create_app
from nodes.accounts import DISABLED, Users, UsersError, change_users, read_hashes, set_enabled
from nodes.sessions import StoreUnavailable
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import age_login, attempt_login, log_in, user_of

NEW, NEWER = "a new and longer password", "a newer and longer password"
COMMON = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 8]


@pytest.fixture
def users_file(own_users_file: Path) -> Path:
    return own_users_file


def change(client: FlaskClient, current: str = PASSWORD, new: str = NEW) -> Any:
    return client.post("/password", json={"current": current, "new": new})


def can_log_in(app: Flask, password: str) -> bool:
    return attempt_login(app.test_client(), password=password).status_code == 200


def test_a_new_password_replaces_the_old_one_and_renews_the_session(app: Flask, users_file: Path) -> None:
    mine = log_in(app)
    before = mine.get_cookie("session")
    assert change(mine).status_code == 204
    assert mine.get_cookie("session") != before
    assert user_of(mine) == "alice"
    assert (can_log_in(app, NEW), can_log_in(app, PASSWORD)) == (True, False)
    assert stat.S_IMODE(users_file.stat().st_mode) == 0o600


def test_a_new_password_ends_all_other_sessions_of_the_user(app: Flask) -> None:
    mine, other, bob = log_in(app), log_in(app), log_in(app, "bob")
    change(mine)
    assert [user_of(client) for client in (mine, other, bob)] == ["alice", None, "bob"]


def test_another_node_knows_a_new_password_at_once(app: Flask, users_file: Path) -> None:
    other = create_app(Settings(node_name="other", secrets=(SECRET,), users_file=users_file))
    assert can_log_in(other, PASSWORD)
    change(log_in(app))
    assert (can_log_in(other, NEW), can_log_in(other, PASSWORD)) == (True, False)


def test_a_change_of_password_needs_a_fresh_login(app: Flask) -> None:
    mine = log_in(app)
    age_login(app, 301)
    answer = change(mine)
    assert (answer.status_code, answer.get_json()["login"]) == (401, "again")
    assert change(app.test_client()).status_code == 401
    assert can_log_in(app, PASSWORD)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"new": NEW}, 400), ({"current": "", "new": NEW}, 403), ({"current": "not the one", "new": NEW}, 403)],
)
def test_a_change_without_the_current_password_is_refused(app: Flask, body: dict[str, str], status: int) -> None:
    assert log_in(app).post("/password", json=body).status_code == status
    assert can_log_in(app, PASSWORD)


def test_users_change_their_own_password_only(app: Flask) -> None:
    body = {"current": PASSWORD, "new": NEW, "user": "alice"}
    assert log_in(app, "bob").post("/password", json=body).status_code == 204
    assert can_log_in(app, PASSWORD)
    assert attempt_login(app.test_client(), "bob", NEW).status_code == 200


@pytest.mark.parametrize(
    "new",
    ["", "kq7 zw", "kq7 zw9", "x" * 1025, "é" * 513, COMMON[7], COMMON[1].upper(), COMMON[1500].title(), COMMON[-1]],
)
def test_a_short_long_or_common_password_is_refused(app: Flask, new: str) -> None:
    answer = change(log_in(app), new=new)
    assert answer.status_code == 422
    assert ("too common" in answer.get_json()["error"]) is (new.lower() in COMMON)
    assert not new or new not in answer.text
    assert can_log_in(app, PASSWORD)


@pytest.mark.parametrize(
    "new",
    [
        *("kq7 zw9b", "lower case only", "UPPER CASE ONLY", "8205117364", "!$%&/()=?*+", "   x   y   "),
        *("密码密码密码密码", "Mixed Case and é in it", "x" * 73 + "y", "x" * 1024, "é" * 512),
    ],
)
def test_any_characters_make_a_password_that_is_compared_as_it_came(app: Flask, new: str) -> None:
    assert change(log_in(app), new=new).status_code == 204
    assert can_log_in(app, new)
    changed = {new[:-1], new[:72], new + " ", new + "\0", new.strip(), new.swapcase(), normalize("NFD", new)}
    assert not any(can_log_in(app, wrong) for wrong in changed - {new})


def test_guessing_the_current_password_is_throttled(app: Flask) -> None:
    mine = log_in(app)
    assert [change(mine, "wrong").status_code for _ in range(11)] == [403] * 10 + [429]


def test_a_users_file_that_cannot_be_written_keeps_the_password(
    app: Flask, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UsersError(f"cannot write {users_file}: Read-only file system")

    mine = log_in(app)
    monkeypatch.setattr("nodes.accounts.change_users", refuse)
    answer = change(mine)
    assert answer.status_code == 422
    assert "could not be stored" in answer.get_json()["error"]
    assert str(users_file) not in answer.text
    assert can_log_in(app, PASSWORD)


def test_a_disabled_user_is_refused_until_enabled(users_file: Path) -> None:
    users = Users(users_file)
    set_enabled(users_file, "alice", enabled=False)
    assert not users.verify("alice", PASSWORD)
    set_enabled(users_file, "alice", enabled=True)
    assert users.verify("alice", PASSWORD)


def test_concurrent_changes_of_the_users_file_are_all_kept(users_file: Path) -> None:
    def copy_alice(name: str) -> None:
        with change_users(users_file) as hashes:
            hashes[name] = hashes["alice"]

    names = [f"user{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy_alice, names))
    assert set(read_hashes(users_file)) == {"alice", "bob", *names}


def test_a_users_file_that_is_damaged_later_keeps_the_passwords_read_before(users_file: Path) -> None:
    users = Users(users_file)
    users_file.write_text("{half")
    assert users.verify("alice", PASSWORD)


# ---- while another request changes the user


def after_hashing(app: Flask, users_file: Path, number: int, happens: Callable[[], object]) -> None:
    """Call `happens` once, right after the app hashed its next password but `number`."""
    left = [number]

    def run(hashing: Callable[[], Any]) -> Any:
        answer = hashing()
        left[0] -= 1
        if left[0] == -1:
            happens()
        return answer

    app.extensions["users"] = Users(users_file, run=run)


def disable(app: Flask, users_file: Path) -> None:
    """Do what `nodes.admin disable alice` does."""
    set_enabled(users_file, "alice", enabled=False)
    app.extensions["sessions"].users.end_all("alice")


def count_sessions(app: Flask) -> int:
    return len(app.extensions["sessions"].users.of("alice"))


def test_a_login_does_not_outrun_the_disabling_of_its_user(app: Flask, users_file: Path) -> None:
    before, client = log_in(app), app.test_client()
    wrong = attempt_login(client)
    after_hashing(app, users_file, 0, lambda: disable(app, users_file))
    answer = attempt_login(client, password=PASSWORD)
    assert (answer.status_code, answer.data) == (401, wrong.data)
    assert "Set-Cookie" not in answer.headers
    assert (user_of(client), user_of(before), count_sessions(app)) == (None, None, 0)


def test_a_login_does_not_outrun_a_change_of_its_password(app: Flask, users_file: Path) -> None:
    mine, thief = log_in(app), app.test_client()
    after_hashing(app, users_file, 0, lambda: change(mine))
    assert attempt_login(thief, password=PASSWORD).status_code == 401
    assert (user_of(thief), user_of(mine), count_sessions(app)) == (None, "alice", 1)


def test_disabling_a_user_ends_the_session_of_a_concurrent_second_login(app: Flask, users_file: Path) -> None:
    client = log_in(app)
    after_hashing(app, users_file, 0, lambda: disable(app, users_file))
    answer = attempt_login(client, password=PASSWORD)
    assert answer.status_code == 401
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert (user_of(client), count_sessions(app)) == (None, 0)


def test_a_login_session_that_cannot_be_ended_reaches_no_browser(
    app: Flask, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_key: str) -> None:
        raise StoreUnavailable("out of reach")

    def disable_and_lose_store() -> None:
        disable(app, users_file)
        monkeypatch.setattr(app.extensions["store"].wraps, "retire", refuse)

    client = app.test_client()
    monkeypatch.setattr("nodes.rate_limit.Guess.success", lambda _guess: None)
    after_hashing(app, users_file, 0, disable_and_lose_store)
    answer = attempt_login(client, password=PASSWORD)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
    assert user_of(client) is None


@pytest.mark.parametrize(
    ("number", "status", "password"), [(0, 403, PASSWORD), (1, 401, NEW)], ids=["before it is stored", "afterwards"]
)
def test_a_change_of_password_does_not_enable_a_user_disabled_meanwhile(
    app: Flask, users_file: Path, number: int, status: int, password: str
) -> None:
    client = log_in(app)
    after_hashing(app, users_file, number, lambda: disable(app, users_file))
    answer = change(client)
    assert answer.status_code == status
    assert ("Max-Age=0" in answer.headers.get("Set-Cookie", "")) is (status == 401)
    assert read_hashes(users_file)["alice"].startswith(DISABLED)
    assert (user_of(client), count_sessions(app)) == (None, 0)
    set_enabled(users_file, "alice", enabled=True)
    assert can_log_in(app, password)


def test_of_two_concurrent_changes_of_a_password_the_second_is_refused(app: Flask, users_file: Path) -> None:
    mine, thief = log_in(app), log_in(app)
    after_hashing(app, users_file, 0, lambda: change(mine))
    assert change(thief, new=NEWER).status_code == 403
    assert [can_log_in(app, word) for word in (NEW, NEWER, PASSWORD)] == [True, False, False]
    assert (user_of(mine), user_of(thief)) == ("alice", None)


def test_disabling_a_user_keeps_a_password_that_is_being_changed(
    users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, flock = Users(users_file), fcntl.flock
    before = users.verify("alice", PASSWORD)
    assert before is not None

    def change_password_first(*arguments: Any) -> None:
        monkeypatch.setattr("fcntl.flock", flock)
        users.set_password("alice", NEW, instead_of=before)
        flock(*arguments)

    monkeypatch.setattr("fcntl.flock", change_password_first)
    set_enabled(users_file, "alice", enabled=False)
    assert users.verify("alice", NEW) is None
    set_enabled(users_file, "alice", enabled=True)
    assert users.verify("alice", NEW)
    with pytest.raises(UsersError, match="meanwhile"):
        users.set_password("alice", NEWER, instead_of=before)
