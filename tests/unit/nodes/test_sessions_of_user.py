"""Where a user is logged in: seen and ended by them, on any node, and by an administrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.pages import browser_name
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import FIREFOX, age_login, log_in, token_of, user_of


def sessions_of(client: FlaskClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/sessions").get_json()["sessions"]
    return found


def test_all_of_them_are_listed_and_this_one_is_marked(app: Flask) -> None:
    first, second = log_in(app), log_in(app, browser="curl/8.5.0")
    log_in(app, "bob")
    listed = sessions_of(second)
    assert [one["browser"] for one in listed] == ["curl", "Firefox on Linux"]
    assert [one["current"] for one in listed] == [True, False]
    assert {one["address"] for one in listed} == {"127.0.0.1"}
    assert [one["current"] for one in sessions_of(first)] == [False, True]
    assert all(set(one) == {"handle", "created", "last_seen", "address", "browser", "current"} for one in listed)


def test_a_list_shows_no_id(app: Flask) -> None:
    client = log_in(app)
    cookie = client.get_cookie("session")
    assert cookie is not None
    for accept in ("application/json", "text/html"):
        assert cookie.value.partition(".")[0] not in client.get("/sessions", headers={"Accept": accept}).text


def test_one_is_ended_by_its_owner_and_by_nobody_else(app: Flask) -> None:
    mine, other, bob = log_in(app), log_in(app), log_in(app, "bob")
    handle = next(one["handle"] for one in sessions_of(mine) if not one["current"])
    assert bob.delete(f"/sessions/{handle}").status_code == 404
    assert mine.delete(f"/sessions/{handle}").status_code == 204
    assert mine.delete(f"/sessions/{handle}").status_code == 404
    assert [user_of(client) for client in (mine, other, bob)] == ["alice", None, "bob"]


def test_a_user_ends_the_other_sessions_or_all(app: Flask) -> None:
    mine, other, bob = log_in(app), log_in(app), log_in(app, "bob")
    assert mine.delete("/sessions").get_json() == {"ended": 1}
    assert [user_of(client) for client in (mine, other, bob)] == ["alice", None, "bob"]
    third = log_in(app)
    answer = mine.delete("/sessions?all=true")
    assert answer.get_json() == {"ended": 2}
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert [user_of(client) for client in (mine, third, bob)] == [None, None, "bob"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/sessions"), ("DELETE", "/sessions"), ("DELETE", "/sessions/x")])
def test_visitors_have_no_list_of_sessions(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(path, method=method).status_code == 401


def test_ending_them_needs_a_fresh_login_and_looking_does_not(app: Flask) -> None:
    mine, other = log_in(app), log_in(app)
    mine.post("/visits", json={})
    handle = next(one["handle"] for one in sessions_of(mine) if not one["current"])
    age_login(app, 301)
    for path in ("/sessions", f"/sessions/{handle}"):
        answer = mine.delete(path)
        assert (answer.status_code, answer.get_json()["login"]) == (401, "again")
        assert "Set-Cookie" not in answer.headers
    assert user_of(other) == "alice"
    assert len(sessions_of(mine)) == 2
    assert mine.post("/login", json={"user": "alice", "password": PASSWORD}).status_code == 200
    assert mine.delete("/sessions").get_json() == {"ended": 1}
    assert mine.get("/me").get_json()["visits"] == 1


def test_a_page_asks_for_the_password_and_leads_back(app: Flask) -> None:
    client = log_in(app)
    page = {"Accept": "text/html", "Origin": "http://localhost"}
    age_login(app, 301)
    token = token_of(client)
    answer = client.post("/sessions/end", data={"csrf_token": token}, headers=page)
    assert answer.status_code == 401
    assert "Is it you, alice?" in answer.text
    form = {"csrf_token": token, "user": "alice", "password": PASSWORD, "back": "/sessions"}
    answer = client.post("/login", data=form, headers=page)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sessions")


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/logout", "/sessions/../x", ""])
def test_a_login_leads_nowhere_else(app: Flask, client: FlaskClient, back: str) -> None:
    page = {"Accept": "text/html", "Origin": "http://localhost"}
    token = token_of(client)
    form = {"csrf_token": token, "user": "alice", "password": PASSWORD, "back": back}
    assert client.post("/login", data=form, headers=page).headers["Location"] == "/"


@pytest.mark.parametrize(("limit", "last", "first"), [("refuse", 409, "alice"), ("end_oldest", 200, None)])
def test_a_user_has_at_most_so_many(users_file: Path, limit: str, last: int, first: str | None) -> None:
    app = create_app(
        Settings(node_name="n", secrets=(SECRET,), users_file=users_file, max_sessions=2, session_limit=limit)
    )
    browsers = [log_in(app), log_in(app)]
    answer = app.test_client().post("/login", json={"user": "alice", "password": PASSWORD})
    assert answer.status_code == last
    assert user_of(browsers[0]) == first
    assert user_of(browsers[1]) == "alice"
    if last == 409:
        assert "too many places" in answer.get_json()["error"]
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14) Chrome/140.0 Safari/537.36", "Chrome on macOS"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (Linux; unheard of)", "a browser on Linux"),
        ("<script>", "an unknown browser"),
        ("", "an unknown browser"),
    ],
)
def test_a_browser_is_called_what_its_user_calls_it(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
