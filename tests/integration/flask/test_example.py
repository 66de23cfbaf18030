"""docs/examples/notices.py, an application of several extensions, on Flask's sessions, on Flask-Session and on ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from flask_session import Session as FlaskSession  # type: ignore[import-untyped]

from nodes.sessions import FlaskCookie, FlaskSessionRedis, MemoryStore, RedisStore, SessionOptions, Sessions
from tests.support.lacks import import_package
from tests.support.node import ROOT
from tests.support.valkey import Valkey

for each in ("flask_babel", "flask_login", "flask_wtf"):
    import_package(each)

BASE = "https://localhost"
CONFIG: dict[str, Any] = {"SECRET_KEY": "keyboard cat, keyboard cat, keyboard cat"}


@pytest.fixture(scope="module")
def create_app() -> Callable[..., Flask]:
    spec = spec_from_file_location("notices", ROOT / "docs" / "examples" / "notices.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Flask] = module.create_app
    return found


@pytest.fixture
def config(server: Valkey) -> dict[str, Any]:
    with server.client() as client:
        client.flushdb()
    return CONFIG | {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(port=server.port)}


def send(browser: FlaskClient, path: str, text: str) -> str:
    """Fill in the form of a page, with its CSRF token, and return the page that follows."""
    page = browser.get(path, base_url=BASE).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token is not None, page
    form = {"csrf_token": token[1], "text": text}
    answer = browser.post(path, data=form, base_url=BASE, headers={"Referer": BASE}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer.text


def log_in_and_write(app: Flask) -> FlaskClient:
    """Use everything the application has. Leaves the browser logged in, with two notices."""
    browser = app.test_client()
    assert "Log in first." in browser.get("/", base_url=BASE, follow_redirects=True).text
    assert "Welcome." in send(browser, "/login", "alice")
    assert "Saved: one" in send(browser, "/", "one")
    assert "Saved: two" in send(browser, "/", "two")
    assert browser.get("/language/de", base_url=BASE).status_code == 302
    assert browser.post("/", data={"text": "forged"}, base_url=BASE).status_code == 400
    return browser


def expect_logged_in(browser: FlaskClient) -> None:
    assert browser.get("/whoami", base_url=BASE).text == "alice"
    page = browser.get("/", base_url=BASE).text
    assert "<li>one</li><li>two</li>" in page
    streamed = browser.get("/list", base_url=BASE).text
    assert "<title>Notices</title>" in streamed
    assert "<li>one</li>\n<li>two</li>\n" in streamed
    with browser.session_transaction(base_url=BASE) as session:
        assert session["language"] == "de"


def add_none(app: Flask) -> None:
    """Leave Flask's own sessions."""


FLASK_LOGIN = SessionOptions(flask_login=True)


def add_ours(app: Flask) -> None:
    Sessions.from_environment(app, environ={}, options=FLASK_LOGIN)


@pytest.mark.parametrize("add_sessions", [add_none, FlaskSession, add_ours])
def test_the_application_works_on_each_layer(
    create_app: Callable[..., Flask], config: dict[str, Any], add_sessions: Callable[[Flask], object]
) -> None:
    browser = log_in_and_write(create_app(add_sessions, **config))
    expect_logged_in(browser)
    send_out = browser.get("/", base_url=BASE).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', send_out)
    assert token is not None
    headers = {"Referer": BASE}
    browser.post("/logout", data={"csrf_token": token[1]}, base_url=BASE, headers=headers)
    assert browser.get("/whoami", base_url=BASE).text == "None"


@pytest.mark.parametrize("old", [add_none, FlaskSession])
def test_a_user_of_the_application_is_still_logged_in_after_the_change_to_these_sessions(
    create_app: Callable[..., Flask], config: dict[str, Any], old: Callable[[Flask], object]
) -> None:
    before, elsewhere = (log_in_and_write(create_app(old, **config)) for _ in range(2))
    source = FlaskCookie() if old is add_none else FlaskSessionRedis(config["SESSION_REDIS"])
    store = RedisStore.from_client(config["SESSION_REDIS"])
    app = create_app(
        lambda each: Sessions(each, store=store, options=FLASK_LOGIN, migrate_from=[source]),
        **config,
    )
    after = app.test_client()
    after._cookies, replayed = dict(before._cookies or {}), dict(before._cookies or {})
    expect_logged_in(after)
    assert "Saved: three" in send(after, "/", "three")
    users = app.extensions["sessions"].users
    assert len(users.of("alice")) == 1
    users.end_all("alice")
    assert after.get("/whoami", base_url=BASE).text == "None"
    assert "Welcome." in send(after, "/login", "alice")
    for cookies in (replayed, elsewhere._cookies):
        late = app.test_client()
        late._cookies = dict(cookies or {})
        assert late.get("/whoami", base_url=BASE).text == "None"


def test_its_sessions_are_the_environments(create_app: Callable[..., Flask]) -> None:
    secret = {"SESSION_SECRETS": "another secret of more than thirty-two bytes"}
    app = create_app(lambda each: Sessions.from_environment(each, environ=secret, options=FLASK_LOGIN), **CONFIG)
    assert isinstance(app.extensions["sessions"].store, MemoryStore)
    expect_logged_in(log_in_and_write(app))
