"""Flask's configuration keys, and `permanent`, `new` and `modified`, mean what they mean with Flask's own sessions."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from flask import Flask, session

from nodes.sessions import MemoryStore, OptionsError, SameSite, SessionData, SessionOptions, Sessions, Store
from tests.support.browser import Browser, View, application
from tests.support.harness import Harness

KEY = "k" * 32
DAY = 24 * 60 * 60


def configured(config: dict[str, Any], store: Store | None = None, **options: Any) -> Browser:
    app = Flask("tests")
    Sessions(app, store=store or MemoryStore(), options=SessionOptions(**options) if options else None)
    app.config.update({"SECRET_KEY": KEY} | config)
    return Browser(app)


def cookie_of(browser: Browser) -> tuple[str, dict[str, str]]:
    """Return name and attributes of the cookie of a new session."""
    header = browser.put(a=1).set_cookie
    assert header is not None
    pair, _, attributes = header.partition("; ")
    parts = (each.partition("=") for each in attributes.split("; "))
    return pair.partition("=")[0], {name: value for name, _, value in parts}


def test_sessions_work_from_the_configuration_alone() -> None:
    browser = configured({})
    assert cookie_of(browser) == ("session", {"HttpOnly": "", "Path": "/", "SameSite": "Lax"})
    assert browser.data == {"a": 1}


@pytest.mark.parametrize(
    ("config", "name", "attributes"),
    [
        ({"SESSION_COOKIE_NAME": "app"}, "app", {}),
        ({"SESSION_COOKIE_DOMAIN": "site.example"}, "session", {"Domain": "site.example"}),
        ({"SESSION_COOKIE_PATH": "/"}, "session", {}),
        ({"SESSION_COOKIE_HTTPONLY": False}, "session", {"HttpOnly": None}),
        ({"SESSION_COOKIE_SECURE": True}, "__Host-session", {"Secure": ""}),
        ({"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_NAME": "__Host-app"}, "__Host-app", {"Secure": ""}),
        ({"SESSION_COOKIE_PARTITIONED": True}, "__Host-session", {"Secure": "", "Partitioned": ""}),
        ({"SESSION_COOKIE_SAMESITE": "Strict"}, "session", {"SameSite": "Strict"}),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else None,
)
def test_a_key_with_another_value_than_the_default_counts(
    config: dict[str, Any], name: str, attributes: dict[str, str | None]
) -> None:
    expected = {"HttpOnly": "", "Path": "/", "SameSite": "Lax", **attributes}
    assert cookie_of(configured(config)) == (name, {key: value for key, value in expected.items() if value is not None})


def test_the_cookie_is_for_the_path_where_the_application_is_mounted() -> None:
    browser = configured({"APPLICATION_ROOT": "/shop"})
    with browser.request(environ={"SCRIPT_NAME": "/shop"}) as (session, answer):
        session["a"] = 1
    assert "Path=/shop" in str(answer.set_cookie)


def test_an_option_that_was_given_wins_even_with_its_default() -> None:
    config = {"SESSION_COOKIE_SAMESITE": "Strict", "SESSION_COOKIE_NAME": "app", "SESSION_COOKIE_HTTPONLY": False}
    name, attributes = cookie_of(configured(config, same_site=SameSite.LAX, name="session", http_only=True))
    assert (name, attributes) == ("session", {"HttpOnly": "", "Path": "/", "SameSite": "Lax"})


def test_secrets_rotate_by_the_fallbacks() -> None:
    store = MemoryStore()
    old = configured({}, store)
    old.put(a=1)
    new = configured({"SECRET_KEY": "n" * 32, "SECRET_KEY_FALLBACKS": [KEY]}, store)
    assert old.at(new.app).data == {"a": 1}
    assert old.at(configured({"SECRET_KEY": "n" * 32}, store).app).data == {}
    other = configured({}, store, secrets="o" * 32)
    assert old.at(other.app).data == {}


def test_a_short_key_of_the_configuration_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        browser = configured({"SECRET_KEY": b"dev"})
        browser.put(a=1)
    assert browser.data == {"a": 1}
    assert len(caplog.records) == 1
    assert "SECRET_KEY has 3 bytes" in caplog.text


def test_a_short_fallback_is_a_warning_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        configured({"SECRET_KEY": "k" * 32, "SECRET_KEY_FALLBACKS": ["f" * 32, "dev"]}).put(a=1)
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == ["SECRET_KEY_FALLBACKS has 3 bytes"]


def test_without_any_secret_a_session_can_be_read_and_not_written() -> None:
    app = configured({"SECRET_KEY": None}).app
    with app.test_request_context():
        assert session.get("a") is None
        with pytest.raises(RuntimeError, match="no secret key was set"):
            session["a"] = 1
    with pytest.raises(OptionsError, match="at least one secret"):
        SessionOptions(secrets=())


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("APPLICATION_ROOT", "shop", "path must begin with '/'"),
        ("SESSION_COOKIE_PATH", "shop", "path must begin with '/'"),
        ("SESSION_COOKIE_SAMESITE", "Laxx", "same_site must be one of 'Lax', "),
        ("SESSION_COOKIE_NAME", "a b", "name must be 1 to 64 letters"),
        ("SESSION_COOKIE_DOMAIN", "a b", "domain must be a host name"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key: str, value: str, text: str) -> None:
    app = Flask("tests")
    app.config.update({"SECRET_KEY": "k" * 32, key: value})
    with pytest.raises(OptionsError) as refused:
        Sessions(app, store=MemoryStore())
    assert str(refused.value).startswith(f"{key}: {text}")


def test_the_configuration_may_change_between_requests() -> None:
    browser = configured({})
    browser.put(a=1)
    browser.app.config["SESSION_COOKIE_SAMESITE"] = "Strict"
    assert "SameSite=Strict" in str(Browser(browser.app).put(a=1).set_cookie)


# ---- permanent sessions


def make_permanent(session: SessionData) -> None:
    session.permanent = True
    session["a"] = 1


def test_a_permanent_session_outlives_the_other_timeouts(harness: Harness, store: Store) -> None:
    browser = configured({"PERMANENT_SESSION_LIFETIME": timedelta(days=10)}, store)
    header = str(browser.visit(make_permanent).set_cookie)
    attributes = dict(part.partition("=")[::2] for part in header.split("; "))
    assert attributes["Max-Age"] == str(10 * DAY)
    left = parsedate_to_datetime(attributes["Expires"]) - datetime.now(UTC)
    assert timedelta(days=9.9) < left < timedelta(days=10.1)
    harness.advance(9 * DAY)
    assert "Max-Age" in str(browser.visit(lambda session: session["a"]).set_cookie)
    harness.advance(9 * DAY)
    browser.put(b=2)  # a write without a read
    harness.advance(9 * DAY)
    assert browser.data == {"a": 1, "b": 2}
    harness.advance(11 * DAY)
    assert browser.data == {}


def test_a_session_that_is_not_permanent_keeps_the_shorter_timeouts(harness: Harness, store: Store) -> None:
    browser = configured({}, store)
    browser.visit(make_permanent)
    header = browser.visit(lambda session: setattr(session, "permanent", False)).set_cookie
    assert header is not None
    assert "Max-Age" not in header
    assert browser.visit(lambda session: session.permanent).value is False
    harness.advance(31 * 60)
    assert browser.data == {}


def test_a_session_that_is_made_permanent_at_each_request_is_not_written_each_time(store: Store) -> None:
    browser = configured({}, store)
    with browser.signals() as seen:
        browser.visit(lambda session: setattr(session, "permanent", True))
        browser.visit(lambda session: setattr(session, "permanent", True))
    assert [name for name, _ in seen] == ["created"]
    assert browser.visit(lambda session: session.permanent).value is True


@pytest.mark.parametrize("refresh", [True, False])
def test_the_cookie_is_refreshed_with_each_request_or_with_each_change(refresh: bool) -> None:
    browser = configured({"SESSION_REFRESH_EACH_REQUEST": refresh})
    browser.visit(make_permanent)
    assert (browser.visit(lambda session: session["a"]).set_cookie is not None) is refresh
    assert browser.put(a=2).set_cookie is not None


# ---- new and modified


def test_a_session_is_new_until_it_is_stored(store: Store) -> None:
    browser = Browser(application(store))
    assert browser.visit(lambda session: (session.new, session.update(a=1))).value == (True, None)
    assert browser.visit(lambda session: session.new).value is False


def test_only_a_change_makes_a_session_modified(store: Store) -> None:
    browser = Browser(application(store))
    browser.put(a=[1])
    assert browser.visit(lambda session: (session.modified, session["a"], session.modified)).value == (
        False,
        [1],
        False,
    )
    changes: list[View] = [
        lambda session: session.update(b=1),
        lambda session: session.pop("a"),
        lambda session: session["a"].append(2),
    ]
    for change in changes:
        with browser.request() as (current, _):
            change(current)
            assert current.modified is True
            current.modified = False
    assert browser.data == {"a": [1]}


def test_a_session_stays_modified_once_it_is_saved(store: Store) -> None:
    browser = Browser(application(store))
    with browser.request() as (session, _):
        session["a"] = 1
    assert session.modified is True


def test_a_change_after_modified_was_false_is_saved(store: Store) -> None:
    browser = Browser(application(store))

    def view(session: SessionData) -> None:
        session["a"] = 1
        session.modified = False
        session["b"] = 2

    browser.visit(view)
    assert browser.data == {"a": 1, "b": 2}
