"""Headers that every response carries, and what caches and cookies of responses depend on."""

from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.sessions import SessionOptions, cookie, current_session
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import ALICE, attempt_login, samples_in

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


def use(client: FlaskClient, method: str, path: str) -> tuple[bool, TestResponse]:
    """Return whether the request used its session, and the response."""
    with client:
        answer = client.open(path, method=method)
        return current_session.used, answer


@pytest.mark.parametrize("option", ["rolling", "resave", "save_uninitialized"])
def test_no_option_ties_health_checks_and_static_files_to_the_store(settings: Settings, option: str) -> None:
    options: dict[str, Any] = {option: True}
    app = create_app(replace(settings, **options))
    client = app.test_client()
    client.post("/visits")
    for path in ("/live", "/ready", "/metrics", "/static/style.css"):
        for visitor in (client, app.test_client()):
            response = visitor.get(path)
            assert response.status_code == 200
            assert "Set-Cookie" not in response.headers
            assert "Cookie" not in response.headers.get("Vary", "")
    assert "public" in response.headers["Cache-Control"]
    counted = samples_in(client.get("/metrics").text)
    asked = {name: n for name, n in counted.items() if n and name.startswith("node_store_seconds_count")}
    # /ready and /metrics ask whether the store answers.
    assert asked == {"node_store_seconds_count{create}": 1, "node_store_seconds_count{ping}": 4}


@pytest.mark.parametrize("logged_in", [False, True])
def test_responses_that_read_or_set_a_session_are_in_no_cache(app: Flask, logged_in: bool) -> None:
    found = set()
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            client = app.test_client()
            if logged_in:
                client.post("/login", json=ALICE)
            path = rule.rule.replace("<handle>", "0" * 16).replace("<path:filename>", "style.css")
            used, answer = use(client, method, path)
            if used or "Set-Cookie" in answer.headers:
                found.add(path)
                assert answer.headers["Cache-Control"] == "no-store", (method, path)
            assert ("Cookie" in answer.headers.get("Vary", "")) is used, (method, path)
    assert found >= {"/", "/me", "/account", "/sessions", "/logout", "/visits", "/cart"}


def test_no_safe_method_changes_anything(app: Flask, client: FlaskClient) -> None:
    client.post("/login", json=ALICE)

    def state() -> list[Any]:
        return [client.get(path).get_json() for path in ("/me", "/sessions")]

    before = state()
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<handle>", before[1]["sessions"][0]["handle"]).replace("<path:filename>", "style.css")
        for method in ("GET", "HEAD", "OPTIONS"):
            client.open(f"{path}?all=true", method=method)
    assert state() == before


@pytest.mark.parametrize("base", ["http://localhost", "https://localhost"])
def test_name_and_value_of_each_cookie_stay_within_4096_bytes(tmp_path: Any, base: str) -> None:
    users, user, name = tmp_path / "users.json", "u" * 64, "n" * 64
    create_users(users, [user], PASSWORD)
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=users, session_name=name))
    answer = app.test_client().post("/login", json={"user": user, "password": PASSWORD}, base_url=base)
    sent = SimpleCookie("; ".join(header.partition(";")[0] for header in answer.headers.getlist("Set-Cookie")))
    assert len(sent) == 2  # the session, and the browser's own, which holds the user's name
    assert all(len(each.key) + len(each.value) <= 4096 for each in sent.values())
    with pytest.raises(ValueError, match="name must be 1 to 64"):
        SessionOptions(secrets=(SECRET,), name="n" * 65)
    assert not cookie.SignedCookie().is_canonical("A" * 129)
    assert len(cookie.SignedCookie().sign("A" * 128, SECRET.encode())) + len(f"__Host-{name}") <= 4096


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
    alone = create_app(replace(settings, trusted_proxies=0))
    assert not secure_cookie(alone, **{"X-Forwarded-Proto": "https"})


def test_a_login_whose_cookie_would_be_for_tls_only_is_refused_over_plain_http(settings: Settings) -> None:
    app = create_app(replace(settings, secure="on"))
    refused = attempt_login(app.test_client(), password=PASSWORD)
    assert (refused.status_code, refused.headers.getlist("Set-Cookie")) == (400, [])
    assert "plain HTTP" in refused.get_json()["error"]
    answer = app.test_client().post("/login", json=ALICE, headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == 200


def test_the_password_is_in_no_answer(client: FlaskClient) -> None:
    form = {"user": "alice", "password": PASSWORD + "!", "csrf_token": "x"}
    for headers in ({}, {"Accept": "text/html"}):
        assert PASSWORD not in client.post("/login", data=form, headers=headers).text
        assert PASSWORD not in client.post("/login", json=form, headers=headers).text
