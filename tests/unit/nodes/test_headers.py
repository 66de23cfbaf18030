"""What every response carries."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from tests.support.node import PASSWORD
from tests.support.node_app import ALICE

EVERY = [
    ("GET", "/", 200),
    ("GET", "/me", 200),
    ("GET", "/live", 200),
    ("GET", "/ready", 200),
    ("GET", "/metrics", 200),
    ("GET", "/static/style.css", 200),
    ("GET", "/account", 401),
    ("GET", "/nothing", 404),
    ("POST", "/login", 415),
    ("POST", "/logout", 204),
    ("POST", "/visits", 200),
    ("DELETE", "/cart", 204),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERY)
def test_every_response_says_who_served_it_and_protects_the_browser(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.headers["X-Served-By"] == "node-2"
    assert len(response.headers["X-Request-ID"]) == 32
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    if method == "GET":
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(("method", "path", "status"), EVERY)
def test_responses_that_depend_on_the_session_are_not_cached(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    client.post("/login", json=ALICE)
    response = client.open(path, method=method)
    reads = path in {"/", "/me", "/account", "/logout", "/visits", "/cart"}
    assert ("Cookie" in response.headers.get("Vary", "")) == reads
    if reads or "Set-Cookie" in response.headers:
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("sent", ["", "short", "x" * 65, "a b c d e f g", "<script>alert(1)", "é" * 10, '12345678"}'])
def test_a_request_id_of_the_proxy_is_kept_unless_it_could_do_harm(client: FlaskClient, sent: str) -> None:
    good = "4bf92f3577b34da6a3ce929d0e0e4736"
    kept, made = (
        client.get("/live", environ_overrides={"HTTP_X_REQUEST_ID": text}).headers["X-Request-ID"]
        for text in (good, sent)
    )
    assert kept == good
    assert made not in {good, sent}
    assert len(made) == 32


def test_the_style_sheet_is_cached_for_long_under_an_address_of_its_own(client: FlaskClient) -> None:
    page = client.get("/", headers={"Accept": "text/html"}).text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "?v=" in address
    response = client.get(address)
    assert response.status_code == 200
    assert "max-age=31536000" in response.headers["Cache-Control"]
    assert "public" in response.headers["Cache-Control"]
    assert "Cookie" not in response.headers.get("Vary", "")


def secure_cookie(app: Flask, **headers: str) -> bool:
    response = app.test_client().post("/visits", headers=headers)
    return response.headers["Set-Cookie"].startswith("__Host-session=")


def test_only_a_trusted_proxy_says_whether_the_connection_was_tls(app: Flask, settings: Settings) -> None:
    assert secure_cookie(app, **{"X-Forwarded-Proto": "https"})
    assert not secure_cookie(app, **{"X-Forwarded-Proto": "http"})
    assert not secure_cookie(app)
    alone = create_app(Settings(**{**vars(settings), "trusted_proxies": 0}))
    assert not secure_cookie(alone, **{"X-Forwarded-Proto": "https"})


def test_a_login_whose_cookie_would_be_for_tls_only_is_refused_over_plain_http(settings: Settings) -> None:
    app = create_app(Settings(**{**vars(settings), "secure": "on"}))
    credentials = {"user": "alice", "password": PASSWORD}
    refused = app.test_client().post("/login", json=credentials)
    assert (refused.status_code, refused.headers.getlist("Set-Cookie")) == (400, [])
    assert "plain HTTP" in refused.get_json()["error"]
    answer = app.test_client().post("/login", json=credentials, headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == 200


def test_the_password_is_in_no_answer(client: FlaskClient) -> None:
    form = {"user": "alice", "password": PASSWORD + "!", "csrf_token": "x"}
    for headers in ({}, {"Accept": "text/html"}):
        assert PASSWORD not in client.post("/login", data=form, headers=headers).text
        assert PASSWORD not in client.post("/login", json=form, headers=headers).text
