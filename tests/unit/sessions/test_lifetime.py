"""Rotation, lifetimes of single sessions, reload, touch and step-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nodes.sessions import Session, SessionData, SessionOptions, current_session, fresh_login
from nodes.sessions.fields import SessionLifetime
from nodes.sessions.store import LONGEST
from tests.support.browser import Browser, application
from tests.support.harness import Harness


@pytest.fixture
def browser(stranger: Browser) -> Browser:
    """Logged in as alice, with a value in the session."""
    stranger.put(n=1)
    stranger.log_in()
    return stranger


@pytest.fixture
def stranger(harness: Harness) -> Browser:
    return Browser(application(harness.store, idle_timeout=1000, absolute_timeout=5000))


# ---- renew


def test_rotation_changes_the_id_and_nothing_else(harness: Harness, browser: Browser) -> None:
    harness.advance(100)
    before, since = browser.header, browser.visit(lambda session: current_session.auth_time).value
    browser.visit(lambda session: current_session.renew())
    assert browser.header != before
    assert browser.read() == ("alice", {"n": 1})
    assert browser.visit(lambda session: current_session.auth_time).value == pytest.approx(since, abs=0.01)
    assert browser.read(header=before) == (None, {})


def test_rotation_does_not_prolong_the_absolute_timeout_and_a_login_does(harness: Harness, browser: Browser) -> None:
    for _ in range(5):
        harness.advance(900)
        browser.visit(lambda session: current_session.renew())
    assert browser.owner == "alice"
    harness.advance(600)
    assert browser.owner is None
    browser.log_in()
    harness.advance(900)
    assert browser.owner == "alice"


def test_renewing_without_keeping_leaves_data_and_owner_behind(browser: Browser) -> None:
    before = browser.header
    browser.visit(lambda session: current_session.renew(keep=False))
    assert browser.header not in {before, ""}
    assert browser.read() == (None, {})
    browser.put(n=1)
    with browser.request() as (session, _):
        assert session["n"] == 1
        browser.put(n=2)  # a concurrent change belongs to the data that is left behind
        current_session.renew("bob", keep=False)
    assert browser.read() == ("bob", {})


def test_the_login_of_another_user_drops_the_data(browser: Browser) -> None:
    browser.put(card="4242")
    with browser.request() as (session, _):
        assert session["card"] == "4242"
        browser.put(n=2)  # a concurrent change belongs to the data that is left behind
        current_session.renew("bob")
    assert browser.read() == ("bob", {})


def test_a_logout_wins_against_a_rotation_in_flight(browser: Browser, harness: Harness) -> None:
    with browser.request() as (slow, answer):
        assert Session.of(slow).owner == "alice"
        browser.log_out()
        Session.of(slow).renew()
    assert (answer.status, answer.set_cookie) == (409, None)
    assert harness.keys() == set()


def test_a_login_holds_even_where_the_old_session_ended_meanwhile(browser: Browser) -> None:
    with browser.request() as (slow, answer):
        assert Session.of(slow).owner == "alice"
        browser.log_out()
        Session.of(slow).renew("alice")
    assert answer.status == 200
    assert browser.read() == ("alice", {"n": 1})


# ---- save, reload, touch


def test_reload_reads_concurrent_changes_and_drops_unsaved_ones(browser: Browser) -> None:
    with browser.request() as (session, answer):
        assert session["n"] == 1
        session["mine"] = 1
        browser.put(n=2)
        current_session.reload()
        assert dict(session) == {"n": 2}
    assert answer.status == 200
    assert browser.read() == ("alice", {"n": 2})


def test_touch_restarts_the_idle_timeout_at_once(harness: Harness, browser: Browser) -> None:
    harness.advance(50)  # less than a tenth
    browser.visit(lambda session: current_session.touch())
    harness.advance(970)
    assert browser.owner == "alice"


def test_touch_of_an_ended_session_is_an_error_and_without_one_nothing(browser: Browser) -> None:
    with browser.request() as (_, answer):
        browser.log_out()
        current_session.touch()
    assert answer.status == 409
    assert browser.visit(lambda session: current_session.touch()).set_cookie is None


# ---- a lifetime of one session


def test_a_session_may_live_shorter_or_longer_than_the_others(harness: Harness, browser: Browser) -> None:
    answer = browser.visit(lambda session: setattr(current_session, "max_age", 3000))
    assert "Max-Age=3000" in (answer.set_cookie or "")
    harness.advance(2900)
    answer = browser.put(b=1)  # without a read, so that its lifetime is unknown
    assert "Max-Age=3000" in (answer.set_cookie or "")
    harness.advance(1900)
    assert browser.owner == "alice"
    browser.visit(lambda session: setattr(current_session, "max_age", 10))
    harness.advance(11)
    assert browser.owner is None


def test_its_own_max_age_never_outlives_the_absolute_timeout(harness: Harness, browser: Browser) -> None:
    browser.visit(lambda session: setattr(current_session, "max_age", 100_000))
    harness.advance(5001)
    assert browser.owner is None


def test_a_max_age_of_none_restores_the_common_lifetime(harness: Harness, browser: Browser) -> None:
    browser.visit(lambda session: setattr(current_session, "max_age", 3000))
    answer = browser.visit(lambda session: setattr(current_session, "max_age", None))
    assert "Max-Age" not in (answer.set_cookie or "Max-Age")
    assert browser.visit(lambda session: current_session.max_age).value is None
    harness.advance(1001)
    assert browser.owner is None


@pytest.mark.parametrize("exists", [True, False], ids=["existing", "new"])
def test_a_session_ends_at_its_date(harness: Harness, stranger: Browser, exists: bool) -> None:
    if exists:
        stranger.log_in()
    end = datetime.fromtimestamp(harness.store.ping(), UTC) + timedelta(seconds=1500)

    def view(session: SessionData) -> None:
        session["n"] = 1
        current_session.max_age = 3000
        current_session.expires = end

    answer = stranger.visit(view)
    assert end.strftime("Expires=%a, %d %b %Y %H:%M:%S GMT") in (answer.set_cookie or "")
    assert stranger.visit(lambda session: current_session.touch() or current_session.expires).value == end
    harness.advance(1501)
    assert stranger.data == {}


# ---- step-up


@fresh_login(seconds=300)
def sensitive() -> str:
    return "done"


def test_a_fresh_login_is_judged_by_the_clock_of_the_store(harness: Harness, browser: Browser) -> None:
    assert browser.visit(lambda session: sensitive()).value == "done"
    harness.advance(290)
    assert browser.visit(lambda session: sensitive()).value == "done"
    browser.visit(lambda session: current_session.renew())  # another id is no login
    harness.advance(20)
    answer = browser.visit(lambda session: sensitive())
    assert (answer.status, answer.value, answer.set_cookie) == (401, None, None)
    browser.log_in()
    assert browser.visit(lambda session: sensitive()).value == "done"
    assert browser.read() == ("alice", {"n": 1})


def test_a_visitor_without_a_login_has_no_fresh_one(stranger: Browser) -> None:
    for _ in range(2):
        assert stranger.visit(lambda session: sensitive()).status == 401
        answer = stranger.visit(lambda session: (current_session.auth_time, current_session.auth_age()))
        assert answer.value == (None, None)
        stranger.put(a=1)


def test_no_login_is_fresh_during_an_outage(harness: Harness, browser: Browser) -> None:
    with harness.outage():
        answer = browser.visit(lambda session: sensitive())
    assert (answer.status, answer.value) == (503, None)


def test_a_permanent_session_of_any_age_becomes_one_of_the_browser(browser: Browser, harness: Harness) -> None:
    """Its absolute timeout, over long ago, begins again: applications do this at a login without "remember me"."""
    browser.visit(lambda session: setattr(session, "permanent", True))
    harness.advance(20 * 24 * 3600)
    assert "Max-Age" not in str(browser.visit(lambda session: setattr(session, "permanent", False)).set_cookie)
    for _ in range(5):
        harness.advance(900)
        browser.put(n=1)
    assert browser.visit(lambda session: session.permanent).value is False


def test_the_absolute_timeout_counts_from_when_a_session_ceased_to_be_permanent() -> None:
    options = SessionOptions(secrets="s" * 32, absolute_timeout=5000)
    assert SessionLifetime(since=150.0).timeouts(options, 100.0).absolute == 5050
    assert SessionLifetime(since=150.0, expires=400.0).timeouts(options, 100.0).absolute == 300
    assert SessionLifetime(since=150.0, permanent=True).timeouts(options, 100.0).absolute == LONGEST
