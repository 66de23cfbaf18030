"""A session that moves to a new id while others do something with it, or while the store fails; on every store."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nodes.sessions import (
    ListsByUser,
    Record,
    Session,
    SessionLimit,
    Sessions,
    Store,
    StoreUnavailable,
    find_capability,
)
from nodes.sessions.signals import session_created, session_ended
from tests.support.browser import Browser, application
from tests.support.harness import Harness, Through


class Watched(Through):
    """Calls `listing` before the sessions of a user are listed, and `listed` with what was found, before anybody learns
    of it. `refused` says which deletions fail."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.listing: Callable[[], object] = lambda: None
        self.listed: Callable[[list[str]], object] = lambda keys: None
        self.refused: Callable[[str], bool] = lambda key: False

    def keys_of(self, owner: str) -> list[str]:
        by_user = find_capability(self.wraps, ListsByUser)
        assert by_user is not None
        self.listing()
        keys = by_user.keys_of(owner)
        self.listed(keys)
        return keys

    def delete(self, key: str) -> Record | None:
        if self.refused(key):
            raise StoreUnavailable("refused")
        return super().delete(key)


@pytest.fixture
def store(harness: Harness) -> Watched:
    if find_capability(harness.store, ListsByUser) is None:
        pytest.skip("this store can't list the sessions of a user")
    return Watched(harness.store)


def once(action: Callable[[], object]) -> Callable[[list[str]], object]:
    left = [action]
    return lambda keys: left.pop()() if left else None


def log_in(browser: Browser) -> int:
    return browser.visit(lambda session: session.renew("alice")).status


def owner(browser: Browser) -> Any:
    return browser.visit(lambda session: session.owner).value


def key_of(browser: Browser) -> str:
    return str(browser.visit(lambda session: session.key_hash).value)


def of(browser: Browser) -> Sessions:
    sessions: Sessions = browser.app.extensions["sessions"]
    return sessions


# ---- ended while they move


def test_a_session_that_moves_while_all_are_ended_is_ended(store: Watched, harness: Harness) -> None:
    app = application(store)
    mine, moving = Browser(app), Browser(app)
    log_in(mine)
    log_in(moving)
    users = of(mine).users
    assert users is not None
    store.listed = once(lambda: moving.visit(lambda session: session.renew()))
    assert users.end_all("alice", keep=key_of(mine)) == 1
    assert (owner(mine), owner(moving)) == ("alice", None)
    store.listed = once(lambda: mine.visit(lambda session: session.renew()))
    assert users.end_all("alice") == 1
    assert owner(mine) is None
    assert harness.keys() == set()


def test_ending_all_ends_even_where_somebody_logs_in_all_the_time(store: Watched) -> None:
    app = application(store)
    users = of(Browser(app)).users
    assert users is not None
    store.listed = lambda keys: log_in(Browser(app))
    log_in(Browser(app))
    assert users.end_all("alice") > 1


def test_everyone_is_ended_even_who_moves_meanwhile(harness: Harness) -> None:
    class Moving(Through):
        moves = 1

        def delete(self, key: str) -> Record | None:
            if self.moves:
                self.moves -= 1
                moving.visit(lambda session: session.renew())
            return super().delete(key)

    store = Moving(harness.store)
    store.moves = 0
    moving = Browser(application(store))
    log_in(moving)
    store.moves = 1
    assert of(moving).end_everyone() == 1
    assert owner(moving) is None
    assert harness.keys() == set()


# ---- limited


@pytest.mark.parametrize("most", [1, 2])
def test_of_logins_at_the_same_time_the_latest_remain(store: Watched, harness: Harness, most: int) -> None:
    app = application(store, max_sessions=most, session_limit=SessionLimit.END_OLDEST)
    browsers = [Browser(app) for _ in range(4)]
    views: list[list[str]] = []
    barrier = threading.Barrier(len(browsers))

    def all_have_looked(keys: list[str]) -> None:
        views.append(keys)
        barrier.wait(20)

    store.listing, store.listed = lambda: barrier.wait(20), all_have_looked
    statuses: dict[Browser, int] = {}
    threads = [threading.Thread(target=lambda one=one: statuses.update({one: log_in(one)})) for one in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    in_order = views[0]
    assert views == [in_order] * len(browsers)
    assert len(in_order) == len(browsers)
    assert harness.keys() == set(in_order[-most:])
    alive = [one for one in browsers if owner(one) == "alice"]
    assert {key_of(one) for one in alive} == set(in_order[-most:])
    assert {one: statuses[one] for one in browsers} == {one: 200 if one in alive else 409 for one in browsers}


def test_others_end_only_once_the_login_is_done(store: Watched, harness: Harness) -> None:
    app = application(store, max_sessions=1, session_limit=SessionLimit.END_OLDEST)
    first, second = Browser(app), Browser(app)
    log_in(first)
    harness.advance(10)
    second.visit(lambda session: session.update(cart=1))
    before = harness.keys()
    old = key_of(second)
    store.refused = lambda key: key == old
    assert log_in(second) == 503
    assert harness.keys() == before
    store.refused = lambda key: False
    assert (owner(first), owner(second), second.visit(lambda session: session["cart"]).value) == ("alice", None, 1)
    assert log_in(second) == 200
    assert (owner(first), owner(second)) == (None, "alice")


# ---- failing


@pytest.mark.parametrize("limit", SessionLimit)
@pytest.mark.parametrize("user", ["alice", None])
def test_a_renewal_that_fails_leaves_no_session_behind(
    store: Watched, harness: Harness, limit: SessionLimit, user: str | None
) -> None:
    browser = Browser(application(store, max_sessions=1, session_limit=limit))
    browser.visit(lambda session: session.update(a=1))
    if user is None:
        log_in(browser)
    (old,) = before = harness.keys()
    store.refused = lambda key: key == old
    header = browser.header
    for _ in range(3):
        answer = browser.visit(lambda session: session.renew(user))
        assert (answer.status, answer.set_cookie, harness.keys()) == (503, None, before)
    store.refused = lambda key: False
    assert browser.header == header
    assert browser.visit(lambda session: session["a"]).value == 1
    assert browser.visit(lambda session: session.renew("alice")).status == 200


def test_what_a_view_changed_before_a_renewal_that_failed_is_saved(store: Watched, harness: Harness) -> None:
    browser = Browser(application(store))
    browser.visit(lambda session: session.update(a=[1], b=1))
    before = harness.keys()
    store.refused = lambda key: key in before

    def view(session: Session) -> None:
        session["a"].append(2)
        session["b"] = 2
        session["c"] = session["a"]
        with pytest.raises(StoreUnavailable):
            session.renew("alice")
        session["a"].append(3)

    assert browser.visit(view).status == 200
    expected = (None, {"a": [1, 2, 3], "b": 2, "c": [1, 2, 3]})
    assert browser.visit(lambda session: (session.owner, dict(session))).value == expected


def test_where_the_new_one_cannot_be_taken_back_the_error_is_still_told(store: Watched) -> None:
    browser = Browser(application(store))
    browser.visit(lambda session: session.update(a=1))
    store.refused = lambda key: True
    assert (log_in(browser), browser.visit(lambda session: session["a"]).value) == (503, 1)


def test_a_list_that_fails_leaves_all_as_it_was(store: Watched, harness: Harness) -> None:
    app = application(store, max_sessions=1, session_limit=SessionLimit.END_OLDEST)
    first, second = Browser(app), Browser(app)
    log_in(first)
    harness.advance(10)
    second.visit(lambda session: session.update(a=1))
    before = harness.keys()

    def fail(keys: list[str]) -> None:
        raise StoreUnavailable("refused")

    store.listed = fail
    assert (log_in(second), harness.keys()) == (503, before)


def test_a_login_works_where_the_oldest_cannot_be_ended(
    store: Watched, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(store, max_sessions=1, session_limit=SessionLimit.END_OLDEST)
    first, second, third = Browser(app), Browser(app), Browser(app)
    log_in(first)
    harness.advance(10)
    oldest = key_of(first)
    store.refused = lambda key: key == oldest
    assert (log_in(second), owner(second)) == (200, "alice")
    assert "could not be ended" in caplog.text
    store.refused = lambda key: False
    harness.advance(10)
    log_in(third)  # who comes next makes up for it
    assert [owner(one) for one in (first, second, third)] == [None, None, "alice"]


def test_what_ended_is_signalled_once(store: Watched, harness: Harness) -> None:
    app = application(store, max_sessions=1, session_limit=SessionLimit.END_OLDEST)
    first, second = Browser(app), Browser(app)
    seen: list[tuple[str, str]] = []
    with contextlib.ExitStack() as stack:
        for name, signal in (("created", session_created), ("ended", session_ended)):
            listen = lambda _sender, key, name=name: seen.append((name, key))  # noqa: E731
            stack.enter_context(signal.connected_to(listen, sender=of(first)))
        log_in(first)
        harness.advance(10)
        one = key_of(first)
        log_in(second)
        assert seen == [("created", one), ("created", key_of(second)), ("ended", one)]
