"""Changing a password, and logins that run while a password changes or a user is disabled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from flask import Flask
from flask.testing import FlaskClient
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from nodes import Settings, create_app
from nodes.accounts.users import Users
from nodes.sessions import session_renewed
from nodes.store_kinds import SessionStoreKind
from tests.support.node import PASSWORD
from tests.support.node_app import age_login, attempt_login, log_in, user_of

NEW, NEWER = "a new and longer password", "a newer and longer password"
COMMON = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 8]


def change(client: FlaskClient, current: str = PASSWORD, new: str = NEW) -> Any:
    return client.post("/password", json={"current": current, "new": new})


def can_log_in(app: Flask, password: str) -> bool:
    return attempt_login(app.test_client(), password=password).status_code == 200


def test_a_new_password_replaces_the_old_one_and_renews_the_session(app: Flask) -> None:
    mine = log_in(app)
    before = mine.get_cookie("session")
    assert change(mine).status_code == 204
    assert mine.get_cookie("session") != before
    assert user_of(mine) == "alice"
    assert (can_log_in(app, NEW), can_log_in(app, PASSWORD)) == (True, False)


def test_a_new_password_ends_all_other_sessions_of_the_user(app: Flask) -> None:
    mine, other, bob = log_in(app), log_in(app), log_in(app, "bob")
    change(mine)
    assert [user_of(client) for client in (mine, other, bob)] == ["alice", None, "bob"]


def test_another_node_knows_a_new_password_at_once(settings: Settings, tmp_path: Path) -> None:
    shared = replace(settings, store=SessionStoreKind.FILE, folder=tmp_path)
    app, other = create_app(shared), create_app(replace(shared, node_name="other"))
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


def test_a_disabled_user_is_refused_until_enabled(app: Flask) -> None:
    users: Users = app.extensions["users"]
    users.set_enabled("alice", enabled=False)
    assert not can_log_in(app, PASSWORD)
    assert not users.is_password(users.get("alice"), PASSWORD)
    users.set_enabled("alice", enabled=True)
    assert can_log_in(app, PASSWORD)


# ---- while another request changes the user


def after_hashing(app: Flask, number: int, happens: Callable[[], object]) -> None:
    """Call `happens` once, right after the app hashed its next password but `number`."""
    left = [number]

    def run(hashing: Callable[[], Any]) -> Any:
        answer = hashing()
        left[0] -= 1
        if left[0] == -1:
            happens()
        return answer

    app.extensions["users"]._run = run


def disable(app: Flask) -> None:
    """Do what `nodes.accounts disable alice` does."""
    app.extensions["users"].set_enabled("alice", enabled=False)
    app.extensions["sessions"].end_all("alice")


def count_sessions(app: Flask) -> int:
    return len(app.extensions["sessions"].users.of("alice"))


def test_a_login_does_not_outrun_the_disabling_of_its_user(app: Flask) -> None:
    before, client = log_in(app), app.test_client()
    wrong = attempt_login(client)
    after_hashing(app, 0, lambda: disable(app))
    answer = attempt_login(client, password=PASSWORD)
    assert (answer.status_code, answer.data) == (401, wrong.data)
    assert "Set-Cookie" not in answer.headers
    assert (user_of(client), user_of(before), count_sessions(app)) == (None, None, 0)


def test_a_login_does_not_outrun_a_change_of_its_password(app: Flask) -> None:
    mine, thief = log_in(app), app.test_client()
    after_hashing(app, 0, lambda: change(mine))
    assert attempt_login(thief, password=PASSWORD).status_code == 401
    assert (user_of(thief), user_of(mine), count_sessions(app)) == (None, "alice", 1)


def test_disabling_a_user_ends_the_session_of_a_concurrent_second_login(app: Flask) -> None:
    client = log_in(app)
    after_hashing(app, 0, lambda: disable(app))
    assert attempt_login(client, password=PASSWORD).status_code == 401
    assert (user_of(client), count_sessions(app)) == (None, 0)


def test_a_refused_login_leaves_the_session_of_another_user_as_it_was(app: Flask) -> None:
    client = log_in(app, "bob")
    client.post("/visits")
    after_hashing(app, 0, lambda: disable(app))
    assert attempt_login(client, password=PASSWORD).status_code == 401
    shown = client.get("/me").get_json()
    assert (shown["user"], shown["visits"]) == ("bob", 1)


@pytest.mark.parametrize("number", [0, 1], ids=["the current one is verified", "the new one is hashed"])
def test_a_change_of_password_does_not_enable_a_user_disabled_meanwhile(app: Flask, number: int) -> None:
    client = log_in(app)
    after_hashing(app, number, lambda: disable(app))
    assert change(client).status_code == 403
    assert (user_of(client), count_sessions(app)) == (None, 0)
    app.extensions["users"].set_enabled("alice", enabled=True)
    assert can_log_in(app, PASSWORD)


def test_a_user_who_is_disabled_while_their_password_changes_is_logged_out(app: Flask) -> None:
    client = log_in(app)
    with session_renewed.connected_to(lambda _sender, **_: disable(app)):
        answer = change(client)
    assert answer.status_code == 401
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert (user_of(client), count_sessions(app)) == (None, 0)


def test_of_two_concurrent_changes_of_a_password_the_second_is_refused(app: Flask) -> None:
    mine, thief = log_in(app), log_in(app)
    after_hashing(app, 0, lambda: change(mine))
    assert change(thief, new=NEWER).status_code == 403
    assert [can_log_in(app, word) for word in (NEW, NEWER, PASSWORD)] == [True, False, False]
    assert (user_of(mine), user_of(thief)) == ("alice", None)
