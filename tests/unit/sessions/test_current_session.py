"""The session's own API is in `current_session`, and `flask.session` has no name that a key could collide with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask import Flask, render_template_string
from flask.sessions import SecureCookieSessionInterface

from nodes.sessions import MemoryStore, OptionsError, Session, SessionData, Sessions, current_session
from tests.support.browser import Browser, application

OURS = sorted(name for name in dir(Session) if not name.startswith("_"))
OF_FLASK = {"permanent", "new", "modified", "accessed"}


@pytest.fixture
def browser() -> Browser:
    """A browser that is logged in as alice."""
    browser = Browser(application(MemoryStore()))
    browser.log_in()
    return browser


def test_the_mapping_has_the_methods_of_a_dict_and_the_attributes_of_flask_and_no_more() -> None:
    public = {name for name in dir(SessionData) if not name.startswith("_")}
    assert public == {name for name in dir(dict) if not name.startswith("_")} - {"fromkeys"} | OF_FLASK


@pytest.mark.parametrize("name", OURS)
def test_a_template_prints_the_application_s_key_whatever_its_name(browser: Browser, name: str) -> None:
    page = "{{ session." + name + " }}"
    assert browser.visit(lambda session: render_template_string(page)).value == ""
    browser.put(**{name: "the application's"})
    assert browser.visit(lambda session: render_template_string(page)).value == "the application&#39;s"
    assert browser.read() == ("alice", {name: "the application's"})


def test_no_text_of_a_session_has_its_id(browser: Browser) -> None:
    page = "{{ current_session }} {{ session }} {{ [current_session, session] }} {{ current_session.__class__ }}"
    with browser.request() as (data, _):
        texts = [render_template_string(page, current_session=current_session)]
        for each in (current_session, flask.session, data, Session.of(data)):
            texts += [repr(each), str(each), f"{each}", f"{[each]}"]
        assert len(current_session.id or "") == 43
        assert not any(str(current_session.id) in text for text in texts)


def test_the_session_of_a_mapping_is_that_of_its_request(browser: Browser) -> None:
    with browser.request() as (outer, _), Browser(browser.app).request():
        assert current_session.owner is None
        assert Session.of(outer).owner == "alice"
    with browser.request():
        assert Session.of(flask.session).owner == "alice"


def test_a_test_logs_a_user_in_before_its_request() -> None:
    app = application(MemoryStore())
    app.add_url_rule("/", view_func=lambda: str(current_session.owner))
    client = app.test_client()
    with client.session_transaction() as data:
        Session.of(data).renew("alice")
    assert client.get("/").text == "alice"


def test_a_misspelt_attribute_is_an_error(browser: Browser) -> None:
    with browser.request(), pytest.raises(AttributeError):
        current_session.max_agee = 3  # type: ignore[attr-defined]


def test_an_application_without_sessions_or_secret_is_told_in_one_line() -> None:
    plain, signed, ours = Flask("plain"), Flask("with a secret"), Flask("without a secret")
    signed.secret_key = "k" * 32
    Sessions(ours, store=MemoryStore())
    missing = r"^this application has no server-side sessions: create Sessions\(app, store=\.\.\.\)$"
    no_secret = r"^no session can be used without a secret: set SECRET_KEY or SessionOptions\.secrets$"
    for app, message in ((plain, missing), (signed, missing), (ours, no_secret)):
        with app.test_request_context(), pytest.raises(RuntimeError, match=message):
            current_session.mutate("n", lambda n: n + 1, 0)


def test_outside_of_a_request_it_says_so_as_flask_does() -> None:
    with pytest.raises(RuntimeError, match=r"^Working outside of request context"):
        current_session.owner  # noqa: B018


def test_a_session_layer_that_takes_the_place_of_ours_is_named() -> None:
    app = Flask("two layers")
    app.secret_key = "k" * 32
    Sessions(app, store=MemoryStore())
    app.session_interface = SecureCookieSessionInterface()
    with (
        app.test_request_context(),
        pytest.raises(RuntimeError, match=r"SecureCookie.*, set after Sessions"),
    ):
        _ = current_session.owner


def test_a_second_sessions_for_one_application_is_refused() -> None:
    app = Flask("twice")
    Sessions(app, store=MemoryStore())
    with pytest.raises(OptionsError, match="app has Sessions already"):
        Sessions(app, store=MemoryStore())


def test_a_wrong_argument_is_named_before_the_store_is_asked(browser: Browser) -> None:
    def refused(call: Callable[[], object], text: str) -> None:
        with pytest.raises(TypeError, match=text):
            call()

    with browser.request() as (session, _):
        current: Any = current_session
        refused(lambda: current.mutate(1, len), "^a session's keys are strings, not int: 1")
        refused(lambda: current.mutate("a", 1), "^function must be a function")
        refused(lambda: setattr(current, "expires", "x"), "^expires must be a datetime with a time zone or None")
        refused(lambda: session.update({"\ud800": 1}), "^a session's keys are strings without lone surrogates")
