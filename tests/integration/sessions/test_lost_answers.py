"""A login, a rotation or a logout, of which any one request to the store, or its answer, is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask

from nodes.sessions import ListsByUser, SessionData, StoreUnavailable, current_session, find_capability
from tests.support.browser import Browser, View, application
from tests.support.harness import Harness, Through

OPERATIONS = ("load", "create", "update", "retire", "delete", "keys_of")


class Losing(Through):
    """A store that loses `number` requests after the first `after`, or their answers."""

    after, number, answers = 1000, 0, False

    def __getattribute__(self, name: str) -> Any:
        if name not in OPERATIONS:
            return super().__getattribute__(name)
        store = find_capability(self.wraps, ListsByUser) if name == "keys_of" else self.wraps
        return partial(self._call, getattr(store, name))

    def _call(self, operation: Callable[..., Any], *args: Any) -> Any:
        self.after -= 1
        is_lost = -self.number <= self.after < 0
        if is_lost and not self.answers:
            raise StoreUnavailable("the request was lost")
        result = operation(*args)
        if is_lost:
            raise StoreUnavailable("the answer was lost")
        return result


@pytest.fixture
def store(harness: Harness) -> Losing:
    return Losing(harness.store)


def each_loss(harness: Harness, app: Flask, view: View) -> Iterator[tuple[int, Browser]]:
    """Visit once for each operation that `view` takes, and lose it. Yield the status and the browser."""
    store = app.extensions["sessions"].store
    for at in range(100):
        harness.advance(10)  # of the logins of one user, each is later
        one = Browser(app)
        one.put(visits=1, cart={"apple": 1})
        store.after = at
        answer = one.visit(view)
        was_lost = store.after < 0
        store.after = 1000
        yield answer.status, one
        if not was_lost:
            assert at > 1
            return


def log_in(session: SessionData) -> None:
    current_session.renew("alice")


def count(session: SessionData) -> int:
    return int(current_session.mutate("visits", lambda visits: visits + 1))


LOSSES = pytest.mark.parametrize(("answers", "number"), [(False, 1), (True, 1), (False, 9), (True, 9)])


@LOSSES
@pytest.mark.parametrize("options", [{}, {"max_sessions": 3}], ids=["no limit", "limit"])
def test_a_login_that_is_repeated_has_visits_and_cart(
    store: Losing, harness: Harness, answers: bool, number: int, options: dict[str, Any]
) -> None:
    if options and find_capability(store.wraps, ListsByUser) is None:
        pytest.skip("this store can't list the sessions of a user")
    store.answers, store.number = answers, number
    for status, browser in each_loss(harness, application(store, **options), log_in):
        assert status in {200, 503}
        if status == 200:
            assert browser.owner == "alice"
        browser.log_in()
        assert browser.read() == ("alice", {"visits": 1, "cart": {"apple": 1}})


@LOSSES
def test_a_write_after_a_lost_login_is_kept_or_refused(
    store: Losing, harness: Harness, answers: bool, number: int
) -> None:
    store.answers, store.number = answers, number
    for _, browser in each_loss(harness, application(store), log_in):
        written = browser.visit(count)
        assert written.status in {200, 409}
        browser.log_in()
        assert browser.data["visits"] == (written.value if written.status == 200 else 1)


@LOSSES
def test_a_login_whose_response_is_lost_is_repeated_with_the_old_cookie(
    store: Losing, answers: bool, number: int
) -> None:
    store.answers, store.number = answers, number
    app = application(store)
    for at in range(20):
        browser, other = Browser(app), Browser(app)
        browser.put(visits=1)
        other.cookies = dict(browser.cookies)
        store.after = at
        other.log_in()
        was_lost, store.after = store.after < 0, 1000
        browser.log_in()
        assert browser.read() == ("alice", {"visits": 1})
        if not was_lost:
            break


@LOSSES
def test_writes_of_another_tab_during_a_lost_login_are_kept(
    store: Losing, harness: Harness, answers: bool, number: int
) -> None:
    store.answers, store.number = answers, number

    def log_in_meanwhile(session: SessionData) -> None:
        assert session["visits"] == 1
        after, store.after = store.after, 1000
        Browser(app).visit(count, header=headers[-1])
        store.after = after
        current_session.renew("alice")

    app, headers = application(store), [""]
    for at in range(1, 20):
        browser = Browser(app)
        browser.put(visits=1)
        headers.append(browser.header)
        store.after = at
        browser.visit(log_in_meanwhile)
        was_lost, store.after = store.after < 0, 1000
        browser.log_in()
        assert browser.read() == ("alice", {"visits": 2})
        if not was_lost:
            break


@LOSSES
def test_a_rotation_that_is_lost_leaves_one_of_the_two_sessions(
    store: Losing, harness: Harness, answers: bool, number: int
) -> None:
    store.answers, store.number = answers, number

    def log_in_and_rotate(session: SessionData) -> None:
        current_session.renew("alice")
        current_session.renew()

    for _, browser in each_loss(harness, application(store), log_in_and_rotate):
        browser.log_in()
        assert browser.read() == ("alice", {"visits": 1, "cart": {"apple": 1}})


@LOSSES
def test_a_logout_that_is_confirmed_has_ended_the_session(
    store: Losing, harness: Harness, answers: bool, number: int
) -> None:
    store.answers, store.number = answers, number
    app = application(store)
    for at in range(5):
        browser = Browser(app)
        browser.put(visits=1)
        header, before = browser.header, harness.keys()
        store.after = at
        answer = browser.log_out()
        store.after = 1000
        if answer.status == 200:
            assert harness.keys() < before
            assert browser.read(header=header) == (None, {})
        else:
            assert (answer.status, answer.set_cookie) == (503, None)
            assert browser.log_out().status == 200
            assert browser.read(header=header) == (None, {})
