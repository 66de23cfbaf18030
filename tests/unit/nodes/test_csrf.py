"""Requests that another site makes a browser send."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.node import PASSWORD
from tests.support.node_app import ALICE, HTML, token_of, user_of

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:8081"},
    {"Origin": "https://localhost"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:port"},
    {"Origin": "http://[::1"},
    {"Origin": "http://localhost, http://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
]
OWN = [
    {},
    {"Origin": "http://localhost"},
    {"Origin": "http://localhost:80"},
    {"Origin": "http://LOCALHOST"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]
UNSAFE = [("POST", "/login"), ("POST", "/logout"), ("POST", "/visits"), ("POST", "/cart"), ("DELETE", "/cart")]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_is_refused_even_with_a_token(client: FlaskClient, headers: dict[str, str]) -> None:
    body = {**ALICE, "item": "apple", "quantity": 1, "csrf_token": token_of(client)}
    for method, path in UNSAFE:
        assert client.open(path, method=method, json=body, headers=headers).status_code == 403, path
        assert client.open(path, method=method, data=body, headers=headers).status_code == 403, path
    assert client.get_cookie("session") is None


@pytest.mark.parametrize("headers", OWN)
def test_the_own_page_and_programs_are_not_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/visits", headers=headers).status_code == 200
    form = {"item": "apple", "quantity": "1", "csrf_token": token_of(client)}
    assert client.post("/cart", data=form, headers=headers).status_code == 200


def test_behind_a_proxy_the_own_origin_is_the_public_one(client: FlaskClient) -> None:
    public = {"Host": "10.0.0.7:8000", "X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https"}
    assert client.post("/visits", headers={**public, "Origin": "https://shop.example"}).status_code == 200
    assert client.post("/visits", headers={**public, "Origin": "http://10.0.0.7:8000"}).status_code == 403


def test_a_foreign_page_may_link_here(client: FlaskClient) -> None:
    assert client.get("/", headers={**HTML, "Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("sent", [None, "", "x", "ImFub255bW91cyI.", "ImFub255bW91cyI.AAAA", "é", "x" * 5000])
def test_a_form_without_a_valid_token_is_refused(client: FlaskClient, sent: str | None) -> None:
    form = {"item": "apple", "quantity": "1"} | ({} if sent is None else {"csrf_token": sent})
    assert client.post("/cart", data=form).status_code == 403
    assert client.post("/cart", data=form, content_type="multipart/form-data").status_code == 403
    assert client.get("/me").json == {"user": None, "node": "node-2", "visits": 0, "cart": {}}


def test_a_token_is_bound_to_the_session_it_was_shown_in(app: Flask, client: FlaskClient) -> None:
    other = app.test_client()
    client.post("/login", json=ALICE)
    other.post("/login", json=ALICE)
    form = {"item": "apple", "quantity": "1", "csrf_token": token_of(other)}
    assert client.post("/cart", data=form).status_code == 403
    assert other.post("/cart", data=form).status_code == 200


def test_a_visitors_token_is_refused_once_there_is_a_session(client: FlaskClient) -> None:
    early = token_of(client)
    client.post("/visits")
    response = client.post("/cart", data={"item": "apple", "quantity": "1", "csrf_token": early}, headers=HTML)
    assert response.status_code == 403
    assert "older than your session" in response.text


def test_a_token_is_refused_after_a_login_renewed_the_id(client: FlaskClient) -> None:
    client.post("/visits")
    early = token_of(client)
    client.post("/login", json=ALICE)
    assert client.post("/visits", data={"csrf_token": early}).status_code == 403


PROOF = [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}]
NO_PROOF = [{}, {"Sec-Fetch-Site": "none"}]


@pytest.mark.parametrize("headers", PROOF)
@pytest.mark.parametrize("visited", [False, True])
def test_forms_of_a_tab_from_before_the_login_go_through(
    client: FlaskClient, headers: dict[str, str], visited: bool
) -> None:
    if visited:
        client.post("/visits")
    early = token_of(client)
    assert client.post("/login", data={**ALICE, "csrf_token": early}, headers=headers).status_code == 200
    assert client.post("/cart", data={"item": "apple", "quantity": "1", "csrf_token": early}, headers=headers).json
    assert client.post("/login", data={**ALICE, "csrf_token": early}, headers=headers).status_code == 200
    assert client.get("/me").json == {"user": "alice", "node": "node-2", "visits": int(visited), "cart": {"apple": 1}}


@pytest.mark.parametrize("headers", PROOF)
def test_a_form_of_the_users_earlier_session_goes_through(client: FlaskClient, headers: dict[str, str]) -> None:
    client.post("/login", json=ALICE)
    early = token_of(client)
    client.post("/login", json=ALICE)
    assert client.post("/visits", data={"csrf_token": early}, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [*FOREIGN, *NO_PROOF])
@pytest.mark.parametrize("visited", [False, True])
def test_an_old_token_counts_for_no_other_site_and_not_without_proof(
    client: FlaskClient, headers: dict[str, str], visited: bool
) -> None:
    if visited:
        client.post("/visits")
    early = token_of(client)
    client.post("/login", json=ALICE)
    for path, form in (("/login", ALICE), ("/visits", {}), ("/logout", {})):
        assert client.post(path, data={**form, "csrf_token": early}, headers=headers).status_code == 403, path
    assert user_of(client) == "alice"


@pytest.mark.parametrize("headers", [*PROOF, *NO_PROOF])
@pytest.mark.parametrize("then", [{"user": "bob", "password": PASSWORD}, None])
def test_a_form_of_another_users_page_is_refused(
    client: FlaskClient, headers: dict[str, str], then: dict[str, str] | None
) -> None:
    client.post("/login", json=ALICE)
    early = token_of(client)
    if then is None:
        client.post("/logout")
    else:
        client.post("/login", json=then)
    form = {"item": "apple", "quantity": "1", "csrf_token": early}
    assert client.post("/cart", data=form, headers=headers).status_code == 403
    assert client.get("/me").get_json()["cart"] == {}


def test_a_form_works_with_the_cookie_of_an_expired_session(app: Flask, client: FlaskClient) -> None:
    client.post("/visits")
    stale = client.get_cookie("session")
    assert stale
    client.post("/logout")
    client.set_cookie("session", stale.value)
    form = {"user": "alice", "password": PASSWORD, "csrf_token": token_of(client)}
    assert client.post("/login", data=form).status_code == 200


def test_showing_a_form_makes_no_session(client: FlaskClient) -> None:
    token_of(client)
    assert client.get_cookie("session") is None


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream"])
def test_other_types_of_body_that_a_form_could_send_are_refused(client: FlaskClient, content_type: str) -> None:
    assert client.post("/visits", data=b"x", content_type=content_type).status_code == 415
