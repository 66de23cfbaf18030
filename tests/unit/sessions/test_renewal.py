"""A session that moves to a new id during other changes, or while the store fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nodes.sessions import (
    ListsByUser,
    Outcome,
    Record,
    SessionData,
    SessionLimit,
    SessionMark,
    Store,
    StoreUnavailable,
    current_session,
    find_capability,
)
from nodes.sessions.store import MARK_SECONDS
from tests.support.browser import Browser, application
from tests.support.harness import Harness, Through
from tests.support.records import in_threads


class Watched(Through):
    """A store that calls `listing` before and `listed` after it lists the sessions of a user, and `retiring` before it
    retires a session. Each of them may raise an error."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.listing: Callable[[], object] = lambda: None
        self.listed: Callable[[list[str]], object] = lambda keys: None
        self.retiring: Callable[[str], object] = lambda key: None

    def keys_of(self, owner: str) -> list[str]:
        by_user = find_capability(self.wraps, ListsByUser)
        assert by_user is not None
        self.listing()
        keys = by_user.keys_of(owner)
        self.listed(keys)
        return keys

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        self.retiring(key)
        return super().retire(key, mark, expect)

    def refuse(self, *keys: str) -> None:
        """Raise StoreUnavailable when one of these sessions is to be retired; without keys, no longer."""
        self.retiring = lambda key: fail() if key in keys else None


@pytest.fixture
def store(harness: Harness) -> Watched:
    return Watched(harness.store)


@pytest.fixture
def pair(store: Watched, harness: Harness) -> tuple[Browser, Browser]:
    """Two browsers where a user may have one session: the first is logged in, the second has a cart."""
    app = application(store, max_sessions=1, session_limit=SessionLimit.END_OLDEST)
    first, second = Browser(app), Browser(app)
    first.log_in()
    harness.advance(10)
    second.put(cart=1)
    return first, second


def once(action: Callable[[], object]) -> Callable[[Any], object]:
    """Return a hook that does this the first time."""
    left = [action]
    return lambda _: left.pop()() if left else None


def fail(*_: object) -> None:
    raise StoreUnavailable("refused")


# ---- while sessions are ended


def test_a_session_that_moves_while_all_are_ended_is_ended(store: Watched, harness: Harness) -> None:
    app = application(store)
    mine, moving = Browser(app), Browser(app)
    mine.log_in()
    moving.log_in()
    store.listed = once(lambda: moving.visit(lambda session: current_session.renew()))
    assert mine.users.end_all("alice", keep=mine.key) == 1
    assert (mine.owner, moving.owner) == ("alice", None)
    store.listed = once(lambda: mine.visit(lambda session: current_session.renew()))
    assert mine.users.end_all("alice") == 1
    assert harness.keys() == set()


def test_a_session_that_moves_while_all_are_listed_is_left_out(store: Watched) -> None:
    browser = Browser(application(store))
    browser.log_in()
    store.listed = once(lambda: browser.visit(lambda session: current_session.renew()))
    assert browser.users.of("alice") == []
    assert [one.key for one in browser.users.of("alice")] == [browser.key]


def test_ending_all_sessions_ends_although_the_user_logs_in_all_the_time(store: Watched) -> None:
    browser = Browser(application(store))
    store.listed = lambda keys: Browser(browser.app).log_in()
    browser.log_in()
    assert browser.users.end_all("alice") > 1


def test_ending_everyone_ends_a_session_that_moves_meanwhile(store: Watched, harness: Harness) -> None:
    moving = Browser(application(store))
    moving.log_in()
    store.retiring = once(lambda: moving.visit(lambda session: current_session.renew()))
    assert moving.sessions.end_everyone() == 1
    assert harness.keys() == set()


# ---- with a limit


@pytest.mark.parametrize("most", [1, 2])
def test_of_concurrent_logins_the_latest_remain(store: Watched, harness: Harness, most: int) -> None:
    app = application(store, max_sessions=most, session_limit=SessionLimit.END_OLDEST)
    browsers = [Browser(app) for _ in range(4)]
    views: list[list[str]] = []
    barrier = threading.Barrier(len(browsers))

    def wait_for_all(keys: list[str]) -> None:
        views.append(keys)
        barrier.wait(20)

    store.listing, store.listed = lambda: barrier.wait(20), wait_for_all
    statuses: dict[Browser, int] = {}
    in_threads(*[lambda one=one: statuses.update({one: one.log_in().status}) for one in browsers])
    in_order = views[0]
    assert views == [in_order] * len(browsers)
    assert len(in_order) == len(browsers)
    assert harness.keys() == set(in_order[-most:])
    alive = [one for one in browsers if one.owner == "alice"]
    assert {one.key for one in alive} == set(in_order[-most:])
    assert {one: statuses[one] for one in browsers} == {one: 200 if one in alive else 409 for one in browsers}


def test_others_end_only_once_the_login_is_done(
    store: Watched, harness: Harness, pair: tuple[Browser, Browser]
) -> None:
    first, second = pair
    before = harness.keys()
    store.refuse(second.key)
    assert second.log_in().status == 503
    assert before <= harness.keys()
    store.refuse()
    harness.advance(10)
    assert (first.owner, second.read()) == ("alice", (None, {"cart": 1}))
    assert second.log_in().status == 200
    assert (first.owner, second.owner) == (None, "alice")


def test_a_login_works_where_the_oldest_session_cannot_be_ended(
    store: Watched, harness: Harness, pair: tuple[Browser, Browser], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = pair
    store.refuse(first.key)
    assert (second.log_in().status, second.owner) == (200, "alice")
    assert "could not be ended" in caplog.text
    store.refuse()
    harness.advance(10)
    third = Browser(first.app)
    third.log_in()  # the next login ends what was left over
    assert [one.owner for one in (first, second, third)] == [None, None, "alice"]


def test_a_session_beyond_the_limit_is_signalled_as_ended_once(pair: tuple[Browser, Browser]) -> None:
    first, second = pair
    oldest = first.key
    with second.signals() as seen:
        second.log_in()
    assert seen == [("renewed", second.key), ("ended", oldest)]


# ---- while the store fails


@pytest.mark.parametrize("limit", SessionLimit)
@pytest.mark.parametrize("user", ["alice", None])
def test_a_renewal_without_answers_leaves_a_session_for_two_minutes(
    store: Watched, harness: Harness, limit: SessionLimit, user: str | None
) -> None:
    browser = Browser(application(store, max_sessions=1, session_limit=limit))
    browser.put(a=1)
    if user is None:
        browser.log_in()
    before, header = harness.keys(), browser.header
    store.refuse(*before)
    answer = browser.visit(lambda session: current_session.renew(user))
    assert (answer.status, answer.set_cookie) == (503, None)
    harness.advance(MARK_SECONDS + 1)
    assert harness.keys() == before
    store.refuse()
    assert (browser.header, browser.data) == (header, {"a": 1})
    assert browser.log_in().status == 200


def test_what_a_view_changed_before_a_renewal_that_failed_is_saved(store: Watched, harness: Harness) -> None:
    browser = Browser(application(store))
    browser.put(a=[1], b=1)
    store.refuse(*harness.keys())

    def view(session: SessionData) -> None:
        session["a"].append(2)
        session["b"] = 2
        session["c"] = session["a"]
        with pytest.raises(StoreUnavailable):
            current_session.renew("alice")
        session["a"].append(3)

    assert browser.visit(view).status == 200
    assert browser.read() == (None, {"a": [1, 2, 3], "b": 2, "c": [1, 2, 3]})


def test_a_login_fails_where_no_session_can_be_retired(store: Watched) -> None:
    browser = Browser(application(store))
    browser.put(a=1)
    store.retiring = fail
    assert (browser.log_in().status, browser.data) == (503, {"a": 1})


def test_a_login_whose_list_of_sessions_fails_changes_nothing(
    store: Watched, harness: Harness, pair: tuple[Browser, Browser]
) -> None:
    before = harness.keys()
    store.listed = fail
    assert (pair[1].log_in().status, harness.keys()) == (503, before)
