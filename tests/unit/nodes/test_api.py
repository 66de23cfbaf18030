"""The addresses as programs use them: JSON in, JSON out."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts.users import Users
from nodes.shop import MAX_ITEMS, MAX_TOTAL
from tests.support.node import PASSWORD
from tests.support.node_app import ALICE, attempt_login, user_of

BOB = {"user": "bob", "password": PASSWORD}


VISITOR: dict[str, Any] = {"user": None, "node": "node-2", "visits": 0, "cart": {}}
"""What /me says of a visitor."""


def copy_of(client: FlaskClient) -> FlaskClient:
    """Another browser, with the session cookie of this one."""
    copy = client.application.test_client()
    cookie = client.get_cookie("session")
    assert cookie
    copy.set_cookie("session", cookie.value)
    return copy


def test_a_visitor_is_anonymous_and_gets_no_session(client: FlaskClient) -> None:
    response = client.get("/me")
    assert response.status_code == 200
    assert response.json == VISITOR
    assert "Set-Cookie" not in response.headers


def test_visits_of_a_visitor_are_counted_and_shown_at_both_addresses(client: FlaskClient) -> None:
    assert [client.post("/visits").json for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    assert client.get("/").json == client.get("/me").json == VISITOR | {"visits": 2}


def test_concurrent_visits_all_count(client: FlaskClient) -> None:
    client.post("/visits")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: copy_of(client).post("/visits").status_code, range(40))) == {200}
    assert client.get("/me").json == VISITOR | {"visits": 41}


def test_a_cart_is_not_emptied_with_an_id_that_was_just_renewed(client: FlaskClient) -> None:
    client.post("/cart", json={"item": "apple", "quantity": 2})
    late = copy_of(client)
    client.post("/login", json=ALICE)
    assert late.delete("/cart").status_code == 409
    assert client.get("/me").json["cart"] == {"apple": 2}  # type: ignore[index]


def test_a_login_renews_the_id_and_keeps_visits_and_cart(client: FlaskClient) -> None:
    client.post("/visits")
    client.post("/cart", json={"item": "apple", "quantity": 2})
    before = copy_of(client)
    response = client.post("/login", json=ALICE)
    assert (response.status_code, response.json) == (200, {"user": "alice", "node": "node-2"})
    assert client.get_cookie("session") != before.get_cookie("session")
    assert client.get("/me").json == {"user": "alice", "node": "node-2", "visits": 1, "cart": {"apple": 2}}
    assert before.get("/me").json == VISITOR


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(client: FlaskClient) -> None:
    answers = [attempt_login(client, user) for user in ("alice", "nobody", "")]
    for answer in answers:
        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers
        del answer.headers["X-Request-ID"]
    assert len({answer.data for answer in answers}) == 1
    assert answers[0].headers == answers[1].headers == answers[2].headers


def test_a_failed_login_keeps_the_current_user_logged_in(client: FlaskClient) -> None:
    client.post("/login", json=ALICE)
    attempt_login(client, "bob")
    assert user_of(client) == "alice"


@pytest.mark.parametrize(("again", "visits", "cart"), [(ALICE, 1, {"apple": 2}), (BOB, 0, {})], ids=["same", "other"])
def test_only_the_same_user_finds_the_data_of_the_last_login(
    client: FlaskClient, again: dict[str, str], visits: int, cart: dict[str, int]
) -> None:
    client.post("/login", json=ALICE)
    client.post("/visits")
    client.post("/cart", json={"item": "apple", "quantity": 2})
    client.post("/login", json=again)
    assert client.get("/me").json == {"user": again["user"], "node": "node-2", "visits": visits, "cart": cart}


def test_another_user_does_not_get_what_a_concurrent_request_saves_at_the_login(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/login", json=ALICE)
    store, other_tab = client.application.extensions["store"], copy_of(client)
    create = store.create

    def create_late(*given: Any) -> float | None:
        with ThreadPoolExecutor(1) as pool:
            assert (
                pool.submit(other_tab.post, "/cart", json={"item": "apple", "quantity": 2}).result().status_code == 200
            )
        return create(*given)  # type: ignore[no-any-return]

    monkeypatch.setattr(store, "create", create_late)
    assert client.post("/login", json=BOB).status_code == 200
    assert client.get("/me").json == VISITOR | {"user": "bob"}


def test_a_logout_ends_the_session_at_the_store_and_clears_the_cookie(client: FlaskClient) -> None:
    client.post("/login", json=ALICE)
    copy = copy_of(client)
    assert user_of(copy) == "alice"
    response = client.post("/logout")
    assert (response.status_code, response.data) == (204, b"")
    assert client.get_cookie("session") is None
    assert user_of(copy) is None


@pytest.mark.parametrize(("method", "path"), [("POST", "/logout"), ("DELETE", "/cart")])
def test_logout_and_emptying_a_cart_create_no_session(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 204
    assert "Set-Cookie" not in response.headers


def test_an_account_says_who_is_logged_in_and_since_when(client: FlaskClient) -> None:
    assert client.get("/account").status_code == 401
    client.post("/visits")
    assert client.get("/account").status_code == 401
    client.post("/login", json=ALICE)
    account = client.get("/account")
    assert account.status_code == 200
    assert account.get_json()["user"] == "alice"
    age = datetime.now(UTC) - datetime.fromisoformat(account.get_json()["since"])
    assert 0 <= age.total_seconds() < 30


def test_the_cart_adds_to_what_is_in_it_and_can_be_emptied(client: FlaskClient) -> None:
    client.post("/cart", json={"item": "apple", "quantity": 2})
    client.post("/cart", json={"item": " pear ", "quantity": 1000})
    added = client.post("/cart", json={"item": "apple", "quantity": 3})
    assert (added.status_code, added.json) == (200, {"cart": {"apple": 5, "pear": 1000}})
    emptied = client.delete("/cart")
    assert (emptied.status_code, emptied.data) == (204, b"")
    assert client.get("/me").json == VISITOR


WRONG: list[tuple[str, Any, str]] = [
    ("/cart", {"quantity": 1}, "item"),
    ("/cart", {"item": "apple"}, "quantity"),
    *(("/cart", {"item": item, "quantity": 1}, "item") for item in ("", "  ", "x" * 65, "a\nb", "a\0", 5, None, ["a"])),
    *(
        ("/cart", {"item": "apple", "quantity": much}, "quantity")
        for much in (0, -1, 1001, 10**400, 1.5, True, "2", None)
    ),
    ("/login", {"password": "x"}, "user"),
    ("/login", {"user": ["alice"], "password": "x"}, "user"),
    ("/login", {"user": "alice"}, "password"),
    *(("/login", {"user": "alice", "password": word}, "password") for word in (5, None)),
]


@pytest.mark.parametrize(("path", "body", "named"), WRONG)
def test_a_missing_or_wrong_field_is_refused_by_its_name(
    client: FlaskClient, path: str, body: dict[str, object], named: str
) -> None:
    response = client.post(path, json=body)
    assert response.status_code == 400
    assert re.search(rf"\b{named}\b", response.get_json()["error"])
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/login", '{"user": "alice"}', "password is missing"),
        ("/cart", '{"quantity": 1}', "item is missing"),
        ("/cart", "{", "input data was truncated"),
        ("/cart", "nonsense", "JSON is malformed: "),
    ],
)
def test_a_malformed_body_is_answered_in_plain_words(client: FlaskClient, path: str, body: str, error: str) -> None:
    response = client.post(path, data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.get_json()["error"].startswith(error)


def test_a_cart_is_bounded_and_keeps_what_it_holds(client: FlaskClient) -> None:
    for number in range(MAX_ITEMS):
        assert client.post("/cart", json={"item": f"item {number}", "quantity": 1}).status_code == 200
    refused = client.post("/cart", json={"item": "one more", "quantity": 1})
    assert refused.status_code == 422
    assert f"{MAX_ITEMS} different items" in refused.get_json()["error"]
    assert client.post("/cart", json={"item": "item 0", "quantity": 1}).status_code == 200
    me = client.get("/me").get_json()
    assert len(me["cart"]) == MAX_ITEMS
    assert me["cart"]["item 0"] == 2


def test_one_item_is_bounded_as_well(client: FlaskClient) -> None:
    for _ in range(MAX_TOTAL // 1000):
        client.post("/cart", json={"item": "apple", "quantity": 1000})
    assert client.post("/cart", json={"item": "apple", "quantity": 1}).status_code == 422


@pytest.mark.parametrize("name", ["", "naïve 漢字 🍎", "<script>alert(1)</script>", "__proto__", "'; DROP TABLE"])
def test_any_printable_name_comes_back_as_it_was(client: FlaskClient, name: str) -> None:
    name = name or "x" * 64
    response = client.post("/cart", json={"item": name, "quantity": 1})
    assert response.json == {"cart": {name: 1}}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"user=alice", "text/plain", 415),
        (b"<user/>", "application/xml", 415),
        (b"", "", 415),
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"user": "alice", "password": "\xff"}', "application/json", 400),
        (b'{"user": "alice", "password": "\\ud800"}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"x":' + b"[" * 60_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"alice"', "application/json", 400),
        (b"x" * (64 * 1024 + 1), "application/json", 413),
        (b"x" * (64 * 1024 + 1), "application/x-www-form-urlencoded", 413),
    ],
)
def test_a_login_body_that_is_not_a_json_object_gets_the_right_status(
    client: FlaskClient, body: bytes, content_type: str, status: int
) -> None:
    response = client.post("/login", data=body, content_type=content_type)
    assert response.status_code == status
    assert response.get_json()["error"]
    assert "Set-Cookie" not in response.headers


def test_a_large_body_is_refused_even_if_the_view_does_not_read_it(client: FlaskClient) -> None:
    response = client.post("/visits", data=b"x" * (64 * 1024 + 1), content_type="application/json")
    assert response.status_code == 413


def test_a_session_holds_no_more_than_its_bound(settings: Settings) -> None:
    small = create_app(replace(settings, max_bytes=1024)).test_client()
    statuses = {small.post("/cart", json={"item": f"{n:064}", "quantity": 1}).status_code for n in range(20)}
    assert statuses == {200, 413}
    refused = small.post("/cart", json={"item": "x" * 64, "quantity": 1})
    assert "full" in refused.get_json()["error"]
    me = small.get("/me").get_json()
    assert len(me["cart"]) > 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/login", 405), ("PUT", "/cart", 405), ("POST", "/nothing", 404)],
)
def test_a_missing_page_is_404_in_json(client: FlaskClient, method: str, path: str, status: int) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert set(response.get_json()) == {"error"}
    if status == 405:
        assert "POST" in response.headers["Allow"]


def test_an_unexpected_error_is_answered_without_its_details(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_users: Users, _account: object, password: str) -> None:
        raise RuntimeError(f"hash of {password}")

    monkeypatch.setattr(Users, "is_password", fail)
    response = client.post("/login", json=ALICE)
    assert response.status_code == 500
    assert PASSWORD not in response.text
