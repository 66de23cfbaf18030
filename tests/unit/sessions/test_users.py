"""The sessions of a user: listed, ended, limited."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodes.sessions import NotAllEnded, OptionsError, SessionLimit, Store, current_session
from tests.support.browser import Browser, application
from tests.support.harness import Harness
from tests.support.records import in_threads


def logged_in(harness: Harness, user: str = "alice", **options: Any) -> Browser:
    browser = Browser(application(harness.store, **options))
    environ = {"REMOTE_ADDR": "192.0.2.7", "HTTP_USER_AGENT": "Firefox " + "x" * 500}
    with browser.request(environ=environ):
        current_session.renew(user)
    return browser


def test_sessions_are_listed_with_the_newest_login_first(harness: Harness) -> None:
    first = logged_in(harness, remember_client=True)
    harness.advance(500)
    first.visit(lambda session: current_session.touch())
    harness.advance(200)
    second = logged_in(harness)
    logged_in(harness, "bob")
    new, old = first.users.of("alice")
    assert [new.key, old.key] == [second.key, first.key]
    assert new.key.startswith(new.handle)
    assert len(new.handle) == 16
    now = harness.store.ping()
    assert now - new.created == pytest.approx(0, abs=1)
    assert now - old.created == pytest.approx(700, abs=2)
    assert old.last_seen is not None
    assert now - old.last_seen == pytest.approx(200, abs=2)
    assert (old.address, old.browser) == ("192.0.2.7", "Firefox " + "x" * 248)
    assert (new.address, new.browser) == (None, None)


def test_only_its_user_ends_a_session_by_its_handle(harness: Harness) -> None:
    browsers = mine, other, _ = logged_in(harness), logged_in(harness), logged_in(harness, "bob")
    handle = other.key[:16]
    assert not mine.users.end("bob", handle)
    for text in ("", "a", "*", "../..", "0" * 16, handle[:15], handle + "0"):
        assert not mine.users.end("alice", text)
    assert mine.users.end("alice", handle)
    assert not mine.users.end("alice", handle)
    assert [browser.owner for browser in browsers] == ["alice", None, "bob"]


def test_what_can_t_be_ended_in_time_is_ended_by_later_calls(harness: Harness) -> None:
    mine, *others = [logged_in(harness) for _ in range(4)]
    keys = [browser.key for browser in others]
    left = []
    with mine.signals() as seen:
        for _ in others[1:]:
            with pytest.raises(NotAllEnded, match=r"1 sessions were ended, and \d are left"):
                mine.users.end_all("alice", mine.key, within=0)
            left.append(len(mine.users.of("alice")))
        assert mine.users.end_all("alice", mine.key, within=0) == 1
    assert left == [3, 2]
    assert sorted(seen) == sorted(("ended", key) for key in keys)
    assert [browser.owner for browser in (mine, *others)] == ["alice", None, None, None]


def test_end_everyone_ends_all_sessions(harness: Harness) -> None:
    browsers = [logged_in(harness), logged_in(harness, "bob"), Browser(application(harness.store))]
    browsers[2].put(a=1)
    assert browsers[0].sessions.end_everyone() == 3
    assert [browser.visit(lambda session: current_session.exists).value for browser in browsers] == [False] * 3


def test_a_login_beyond_the_limit_ends_the_oldest_session(harness: Harness) -> None:
    browsers = []
    for _ in range(4):
        browsers.append(logged_in(harness, max_sessions=2, session_limit=SessionLimit.END_OLDEST))
        harness.advance(10)
    assert [browser.owner for browser in browsers] == [None, None, "alice", "alice"]


def test_a_refused_login_beyond_the_limit_changes_nothing(harness: Harness) -> None:
    app = application(harness.store, max_sessions=2, session_limit=SessionLimit.REFUSE)
    one, two, third = (Browser(app) for _ in range(3))
    one.log_in()
    two.log_in()
    third.put(cart=1)
    before = third.header
    answer = third.log_in()
    assert (answer.status, answer.set_cookie, third.header) == (409, None, before)
    assert third.read() == (None, {"cart": 1})
    assert [one.owner, two.owner] == ["alice", "alice"]
    assert one.log_in().status == 200  # in place of the session it has
    one.log_out()
    assert third.log_in().status == 200
    assert len(third.users.of("alice")) == 2


def test_concurrent_logins_do_not_exceed_the_limit(harness: Harness) -> None:
    app = application(harness.store, max_sessions=2, session_limit=SessionLimit.REFUSE)
    browsers = [Browser(app) for _ in range(6)]
    statuses: dict[Browser, int] = {}
    in_threads(*[lambda one=one: statuses.update({one: one.log_in().status}) for one in browsers])
    alive = [browser for browser in browsers if browser.owner == "alice"]
    assert {one.key for one in browsers[0].users.of("alice")} == {browser.key for browser in alive}
    assert len(alive) <= 2
    assert alive == [browser for browser in browsers if statuses[browser] == 200]


def test_a_store_without_a_capability_refuses_what_needs_it() -> None:
    store = cast(Store, SimpleNamespace(wraps=None, codec=None, cookie=None, load=lambda key: None))
    with pytest.raises(OptionsError, match="max_sessions"):
        application(store, max_sessions=1)
    browser = Browser(application(store))
    assert browser.sessions.users is None
    with pytest.raises(TypeError, match="can't iterate"):
        browser.sessions.end_everyone()
