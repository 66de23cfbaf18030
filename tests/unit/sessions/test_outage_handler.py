"""An application's own handler of an outage may read the session: it is empty, and nothing of it is saved."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask.typing import ResponseReturnValue

from nodes.sessions import Changes, Lifetime, MemoryStore, Outcome, Record, SessionMark, StoreUnavailable
from nodes.sessions import current_session as current
from nodes.sessions.store import StoreWrapper
from tests.support.browser import Browser, application

PAGE = (
    "{{ session.name or 'a visitor' }}, {{ get_flashed_messages() }}, {{ session | length }}, {{ 'name' in session }}"
)


class FailingStore(StoreWrapper):
    """A store that can be out of reach, and counts the attempts to read."""

    fails = False
    reads = 0

    def load(self, key: str) -> Record | SessionMark | None:
        self.reads += 1
        self.check()
        return self.wraps.load(key)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        self.check()
        return self.wraps.update(key, changes, lifetime)

    def check(self) -> None:
        if self.fails:
            raise StoreUnavailable("out of reach")


@pytest.fixture
def store() -> FailingStore:
    return FailingStore(MemoryStore())


@pytest.fixture
def app(store: FailingStore) -> flask.Flask:
    app = application(store, rolling=True, save_uninitialized=True)

    @app.errorhandler(StoreUnavailable)
    def sorry(_: StoreUnavailable) -> ResponseReturnValue:
        assert (current.owner, current.exists, current.created) == (None, False, None)
        return flask.render_template_string(PAGE), 503

    return app


@pytest.fixture
def browser(app: flask.Flask) -> Browser:
    made = Browser(app)
    made.log_in()
    made.put(name="Alice")
    return made


VIEWS: dict[str, Any] = {
    "read": lambda session: session["name"],
    "owner": lambda session: current.owner,
    "write": lambda session: session.update(name="Bob"),
    "read and write": lambda session: session.setdefault("name", "Bob"),
    "nothing": lambda session: None,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_page_for_an_outage_reads_an_empty_session(view: Any, store: FailingStore, browser: Browser) -> None:
    store.fails = True
    answer = browser.visit(view)
    assert (answer.status, answer.set_cookie) == (503, None)
    text = answer.response.get_data(as_text=True)
    # What the request itself wrote is known without the store.
    assert text in {"a visitor, [], 0, False", "Bob, [], 0, False"}
    store.fails = False
    assert browser.read() == ("alice", {"name": "Alice"})


def test_a_handler_asks_a_store_that_failed_no_more(store: FailingStore, browser: Browser) -> None:
    store.fails, store.reads = True, 0
    assert browser.visit(lambda session: session["name"]).status == 503
    assert store.reads == 2  # in the view, and since the cookie rolls at the end of the request


def test_a_handler_may_write_what_is_lost(store: FailingStore, app: flask.Flask, browser: Browser) -> None:
    @app.errorhandler(StoreUnavailable)
    def sorry(_: StoreUnavailable) -> ResponseReturnValue:
        flask.flash("sorry")
        return "sorry", 503

    store.fails = True
    answer = browser.visit(lambda session: session["name"])
    assert (answer.status, answer.response.get_data(as_text=True)) == (503, "sorry")


def test_an_outage_that_is_over_in_the_handler_is_no_empty_session(
    store: FailingStore, app: flask.Flask, browser: Browser
) -> None:
    @app.errorhandler(StoreUnavailable)
    def back(_: StoreUnavailable) -> ResponseReturnValue:
        store.fails = False
        return flask.session.get("name", "nobody"), 503

    with browser.request() as (_, answer):
        store.fails = True
        raise StoreUnavailable("another store of the application")
    assert answer.response.get_data(as_text=True) == "Alice"
