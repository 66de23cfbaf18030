"""Sessions of a user: seen and ended by them, and limited in number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.account_sessions import browser_name
from nodes.sessions import Lifetime
from tests.support.node import PASSWORD
from tests.support.node_app import FIREFOX, HTML, age_login, attempt_login, log_in, token_of, user_of


def sessions_of(client: FlaskClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/sessions").get_json()["sessions"]
    return found


def test_all_sessions_of_a_user_are_listed_and_the_current_one_is_marked(app: Flask) -> None:
    first, second = log_in(app), log_in(app, browser="curl/8.5.0")
    log_in(app, "bob")
    listed = sessions_of(second)
    assert [one["browser"] for one in listed] == ["curl", "Firefox on Linux"]
    assert [one["current"] for one in listed] == [True, False]
    assert {one["address"] for one in listed} == {"127.0.0.1"}
    assert [one["current"] for one in sessions_of(first)] == [False, True]
    assert all(set(one) == {"handle", "created", "last_seen", "address", "browser", "current"} for one in listed)


def test_a_list_of_many_sessions_comes_in_pages(app: Flask) -> None:
    client, store = log_in(app), app.extensions["sessions"].store
    for number in range(1, 120):
        store.create(f"{number:064x}", {}, "alice", Lifetime(60, 600), store.ping() - number)
    pages = [client.get(f"/sessions?page={page}").get_json() for page in (1, 2, 3, 4)]
    assert [len(page["sessions"]) for page in pages] == [50, 50, 20, 0]
    assert [page["more"] for page in pages] == [True, True, False, False]
    assert len({one["handle"] for page in pages for one in page["sessions"]}) == 2
    created = [one["created"] for page in pages for one in page["sessions"]]
    assert created == sorted(created, reverse=True)


def test_pages_of_a_list_of_sessions_are_linked(app: Flask) -> None:
    client, store = log_in(app), app.extensions["sessions"].store
    for number in range(1, 60):
        store.create(f"{number:064x}", {}, "alice", Lifetime(60, 600), store.ping() - number)
    first, second = (client.get(f"/sessions?page={page}", headers=HTML).text for page in (1, 2))
    assert ("page=2" in first, "page=1" in second, "page=3" in second) == (True, True, False)


@pytest.mark.parametrize("page", ["0", "-1", "two", "1e3", "9999999", "\u0661"])
def test_a_wrong_page_number_is_refused(app: Flask, page: str) -> None:
    answer = log_in(app).get("/sessions", query_string={"page": page})
    assert (answer.status_code, answer.get_json()["error"]) == (400, "page must be a number from 1 to 999999")


def test_a_list_of_sessions_shows_no_id(app: Flask) -> None:
    client = log_in(app)
    cookie = client.get_cookie("session")
    assert cookie is not None
    for accept in ("application/json", "text/html"):
        assert cookie.value.partition(".")[0] not in client.get("/sessions", headers={"Accept": accept}).text


def test_a_session_is_ended_by_its_owner_alone(app: Flask) -> None:
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


def test_ending_sessions_needs_a_fresh_login_and_looking_does_not(app: Flask) -> None:
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
    assert attempt_login(mine, password=PASSWORD).status_code == 200
    assert mine.delete("/sessions").get_json() == {"ended": 1}
    assert mine.get("/me").get_json()["visits"] == 1


def log_in_by_form(client: FlaskClient, back: str) -> tuple[int, str]:
    """Return the status and where the browser is led."""
    form = {"csrf_token": token_of(client), "user": "alice", "password": PASSWORD, "back": back}
    answer = client.post("/login", data=form, headers=HTML)
    return answer.status_code, answer.headers["Location"]


def test_a_page_asks_for_the_password_and_returns_to_the_sessions(app: Flask) -> None:
    client = log_in(app)
    age_login(app, 301)
    answer = client.post("/sessions/end", data={"csrf_token": token_of(client)}, headers=HTML)
    assert answer.status_code == 401
    assert "Is it you, alice?" in answer.text
    assert log_in_by_form(client, "/sessions") == (303, "/sessions")


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/logout", "/sessions/../x", ""])
def test_a_login_leads_to_no_other_page(client: FlaskClient, back: str) -> None:
    assert log_in_by_form(client, back) == (303, "/")


@pytest.mark.parametrize(
    ("limits", "status", "first"),
    [
        ({"max_sessions": 2, "session_limit": "refuse"}, 409, "alice"),
        ({"max_sessions": 2}, 200, None),
        ({}, 200, "alice"),
    ],
)
def test_the_number_of_sessions_of_a_user_is_limited_where_it_is_set(
    settings: Settings, limits: dict[str, Any], status: int, first: str | None
) -> None:
    app = create_app(replace(settings, **limits))
    browsers = [log_in(app), log_in(app)]
    answer = attempt_login(app.test_client(), password=PASSWORD)
    assert answer.status_code == status
    assert [user_of(browser) for browser in browsers] == [first, "alice"]
    if status == 409:
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
def test_a_browser_has_the_name_that_its_user_knows(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
