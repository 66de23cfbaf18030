"""The sessions of a user: listed, ended, limited."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodes.sessions import OptionsError, SessionLimit, Sessions, Store, UserSessions
from tests.support.browser import Browser, application
from tests.support.harness import Harness


@pytest.fixture
def users(harness: Harness) -> UserSessions:
    return of(Browser(application(harness.store)))


def of(browser: Browser) -> UserSessions:
    sessions: Sessions = browser.app.extensions["sessions"]
    assert sessions.users is not None
    return sessions.users


def log_in(harness: Harness, user: str = "alice", **options: Any) -> Browser:
    browser = Browser(application(harness.store, **options))
    environ = {"REMOTE_ADDR": "192.0.2.7", "HTTP_USER_AGENT": "Firefox " + "x" * 500}
    with browser.request(environ=environ) as (session, _):
        session.renew(user)
    return browser


def key_of(browser: Browser) -> str:
    return str(browser.visit(lambda session: session.key_hash).value)


def owner(browser: Browser) -> Any:
    return browser.visit(lambda session: session.owner).value


def test_they_are_listed_with_the_newest_login_first(harness: Harness, users: UserSessions) -> None:
    first = log_in(harness, remember_client=True)
    harness.advance(500)
    first.visit(lambda session: session.touch())
    harness.advance(200)
    second = log_in(harness)
    log_in(harness, "bob")
    new, old = users.of("alice")
    assert [new.key, old.key] == [key_of(second), key_of(first)]
    assert new.key.startswith(new.handle)
    assert len(new.handle) == 16
    now = harness.store.ping()
    assert now - new.created == pytest.approx(0, abs=1)
    assert now - old.created == pytest.approx(700, abs=2)
    assert old.last_seen is not None
    assert now - old.last_seen == pytest.approx(200, abs=2)
    assert (old.address, old.browser) == ("192.0.2.7", "Firefox " + "x" * 248)
    assert (new.address, new.browser) == (None, None)


def test_only_its_user_ends_a_session_by_its_handle(harness: Harness, users: UserSessions) -> None:
    mine, other, bobs = log_in(harness), log_in(harness), log_in(harness, "bob")
    handle = key_of(other)[:16]
    assert not users.end("bob", handle)
    assert users.end("alice", handle)
    assert not users.end("alice", handle)
    assert [owner(browser) for browser in (mine, other, bobs)] == ["alice", None, "bob"]


@pytest.mark.parametrize("handle", ["", "a", "*", "../..", "0" * 16])
def test_no_text_but_a_handle_ends_a_session(harness: Harness, users: UserSessions, handle: str) -> None:
    browser = log_in(harness)
    assert not users.end("alice", handle)
    assert owner(browser) == "alice"


def test_end_everyone_ends_all_sessions(harness: Harness, users: UserSessions) -> None:
    browsers = [log_in(harness), log_in(harness, "bob"), Browser(application(harness.store))]
    browsers[2].visit(lambda session: session.update(a=1))
    sessions: Sessions = browsers[0].app.extensions["sessions"]
    assert sessions.end_everyone() == 3
    assert [browser.visit(lambda session: session.exists).value for browser in browsers] == [False] * 3


def test_a_login_beyond_the_limit_ends_the_oldest_session(harness: Harness, users: UserSessions) -> None:
    limited: dict[str, Any] = {"max_sessions": 2, "session_limit": SessionLimit.END_OLDEST}
    browsers = []
    for _ in range(4):
        browsers.append(log_in(harness, **limited))
        harness.advance(10)
    assert [owner(browser) for browser in browsers] == [None, None, "alice", "alice"]


def test_a_refused_login_beyond_the_limit_changes_nothing(harness: Harness, users: UserSessions) -> None:
    limited: dict[str, Any] = {"max_sessions": 2, "session_limit": SessionLimit.REFUSE}
    one, two = log_in(harness, **limited), log_in(harness, **limited)
    third = Browser(application(harness.store, **limited))
    third.visit(lambda session: session.update(cart=1))
    before = third.header
    answer = third.visit(lambda session: session.renew("alice"))
    assert (answer.status, answer.set_cookie, third.header) == (409, None, before)
    assert third.visit(lambda session: (session.owner, session["cart"])).value == (None, 1)
    assert [owner(browser) for browser in (one, two)] == ["alice", "alice"]
    assert one.visit(lambda session: session.renew("alice")).status == 200  # again, in place of the session it has
    one.visit(lambda session: session.end())
    assert third.visit(lambda session: session.renew("alice")).status == 200
    assert len(users.of("alice")) == 2


def test_concurrent_logins_do_not_exceed_the_limit(harness: Harness, users: UserSessions) -> None:
    app = application(harness.store, max_sessions=2, session_limit=SessionLimit.REFUSE)
    browsers = [Browser(app) for _ in range(6)]
    statuses: dict[Browser, int] = {}

    def login(browser: Browser) -> None:
        statuses[browser] = browser.visit(lambda session: session.renew("alice")).status

    threads = [threading.Thread(target=login, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alive = {key_of(browser) for browser in browsers if owner(browser) == "alice"}
    assert {one.key for one in users.of("alice")} == alive
    assert len(alive) <= 2
    assert alive == {key_of(browser) for browser in browsers if statuses[browser] == 200}


def test_max_sessions_needs_a_store_that_lists_the_sessions_of_a_user() -> None:
    with pytest.raises(OptionsError, match="max_sessions"):
        application(cast(Store, SimpleNamespace(wraps=None)), max_sessions=1)
