"""Beyond reading and writing: rotation, own lifetimes, save, reload, touch, step-up; on every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodes.sessions import Session, SessionEnded, fresh_login
from tests.support.browser import Browser, application
from tests.support.harness import Harness


@pytest.fixture
def browser(harness: Harness) -> Browser:
    """Logged in as alice, with something in the session."""
    made = Browser(application(harness.store, idle_timeout=1000, absolute_timeout=5000))
    made.visit(lambda session: (session.update(n=1), session.renew("alice")))
    return made


def everything(session: Session) -> Any:
    return session.owner, {key: value for key, value in session.items() if not key.startswith("_")}


# ---- renew


def clock_is_turned(harness: Harness) -> bool:
    """Whether `advance` turns the store's clock; elsewhere it makes what is stored older instead, and dates with it."""
    before = harness.store.ping()
    harness.advance(100)
    return harness.store.ping() > before + 50


def test_rotation_changes_the_id_and_nothing_else(harness: Harness, browser: Browser) -> None:
    harness.advance(100)
    before, since = browser.header, browser.visit(lambda session: session.auth_time).value
    browser.visit(lambda session: session.renew())
    assert browser.header != before
    assert browser.visit(everything).value == ("alice", {"n": 1})
    assert browser.visit(lambda session: session.auth_time).value == pytest.approx(since, abs=0.01)
    assert Browser(browser.app).visit(everything, header=before).value == (None, {})


def test_rotation_does_not_prolong_the_absolute_timeout_and_a_login_does(harness: Harness, browser: Browser) -> None:
    for _ in range(5):
        harness.advance(900)
        browser.visit(lambda session: session.renew())
    assert browser.visit(lambda session: session.owner).value == "alice"
    harness.advance(600)
    assert browser.visit(lambda session: session.owner).value is None
    browser.visit(lambda session: session.renew("alice"))
    harness.advance(900)
    assert browser.visit(lambda session: session.owner).value == "alice"


def test_renewing_without_keeping_leaves_data_and_owner_behind(browser: Browser) -> None:
    before = browser.header
    browser.visit(lambda session: session.renew(keep=False))
    assert browser.header not in {before, ""}
    assert browser.visit(everything).value == (None, {})
    browser.visit(lambda session: session.update(n=1))
    browser.visit(lambda session: session.renew("bob", keep=False))
    assert browser.visit(everything).value == ("bob", {})


def test_a_logout_wins_against_a_rotation_in_flight(browser: Browser, harness: Harness) -> None:
    with browser.request() as (slow, answer):
        assert slow.owner == "alice"
        browser.visit(lambda session: session.end())
        slow.renew()
    assert (answer.status, answer.set_cookie) == (409, None)
    assert harness.keys() == set()


def test_a_login_holds_even_where_the_old_session_ended_meanwhile(browser: Browser) -> None:
    with browser.request() as (slow, answer):
        assert slow.owner == "alice"
        browser.visit(lambda session: session.end())
        slow.renew("alice")
    assert answer.status == 200
    assert browser.visit(everything).value == ("alice", {"n": 1})


# ---- save, reload, touch


def test_reload_shows_what_others_saved_and_drops_what_was_not(browser: Browser) -> None:
    with browser.request() as (session, answer):
        assert session["n"] == 1
        session["mine"] = 1
        browser.visit(lambda other: other.update(n=2))
        session.reload()
        assert everything(session) == ("alice", {"n": 2})
    assert answer.status == 200
    assert browser.visit(everything).value == ("alice", {"n": 2})


def test_reload_of_a_session_that_is_gone_is_an_error(browser: Browser) -> None:
    with browser.request() as (session, _):
        assert session["n"] == 1
        browser.visit(lambda other: other.end())
        with pytest.raises(SessionEnded):
            session.reload()
    with Browser(browser.app).request() as (session, _), pytest.raises(SessionEnded):
        session.reload()


def test_touch_restarts_the_idle_timeout_at_once(harness: Harness, browser: Browser) -> None:
    harness.advance(50)  # less than a tenth
    browser.visit(lambda session: session.touch())
    harness.advance(970)
    assert browser.visit(lambda session: session.owner).value == "alice"


def test_touch_of_a_session_that_is_gone_is_an_error_and_without_one_nothing(browser: Browser) -> None:
    with browser.request() as (session, answer):
        browser.visit(lambda other: other.end())
        session.touch()
    assert answer.status == 409
    assert Browser(browser.app).visit(lambda session: session.touch()).set_cookie is None


# ---- a life of its own


def test_a_session_may_live_shorter_or_longer_than_the_others(harness: Harness, browser: Browser) -> None:
    answer = browser.visit(lambda session: setattr(session, "max_age", 3000))
    assert "Max-Age=3000" in (answer.set_cookie or "")
    harness.advance(2900)
    answer = browser.visit(lambda session: session.update(b=1))  # without a read: its lifetime has to be found out
    assert "Max-Age=3000" in (answer.set_cookie or "")
    harness.advance(1900)
    assert browser.visit(lambda session: session.owner).value == "alice"
    browser.visit(lambda session: setattr(session, "max_age", 10))
    harness.advance(11)
    assert browser.visit(lambda session: session.owner).value is None


def test_its_own_max_age_never_outlives_the_absolute_timeout(harness: Harness, browser: Browser) -> None:
    browser.visit(lambda session: setattr(session, "max_age", 100_000))
    harness.advance(5001)
    assert browser.visit(lambda session: session.owner).value is None


def test_it_goes_back_to_the_life_of_the_others(harness: Harness, browser: Browser) -> None:
    browser.visit(lambda session: setattr(session, "max_age", 3000))
    answer = browser.visit(lambda session: setattr(session, "max_age", None))
    assert answer.set_cookie
    assert "Max-Age" not in answer.set_cookie
    assert browser.visit(lambda session: session.max_age).value is None
    harness.advance(1001)
    assert browser.visit(lambda session: session.owner).value is None


def test_it_may_end_at_a_date(harness: Harness, browser: Browser) -> None:
    end = datetime.fromtimestamp(harness.store.ping(), UTC) + timedelta(seconds=1500)
    answer = browser.visit(lambda session: setattr(session, "expires", end))
    assert end.strftime("expires=%a, %d %b %Y %H:%M:%S GMT") in (answer.set_cookie or "").replace("Expires", "expires")
    assert browser.visit(lambda session: session.expires).value == end
    harness.advance(900)
    assert browser.visit(lambda session: session.touch() or session.owner).value == "alice"
    if clock_is_turned(harness):
        harness.advance(600)  # idle for less than its timeout, but past the date
        assert browser.visit(lambda session: session.owner).value is None


def test_a_session_that_is_made_with_a_date_ends_at_it(harness: Harness) -> None:
    stranger = Browser(application(harness.store, idle_timeout=1000, absolute_timeout=5000))
    end = datetime.fromtimestamp(harness.store.ping(), UTC) + timedelta(seconds=100)

    def view(session: Session) -> None:
        session["a"] = 1
        session.expires = end

    stranger.visit(view)
    harness.advance(101)
    assert stranger.visit(lambda session: session.get("a")).value is None


# ---- step-up


@fresh_login(seconds=300)
def sensitive() -> str:
    return "done"


def test_a_fresh_login_is_asked_for_by_the_clock_of_the_store(harness: Harness, browser: Browser) -> None:
    assert browser.visit(lambda session: sensitive()).value == "done"
    harness.advance(290)
    assert browser.visit(lambda session: sensitive()).value == "done"
    browser.visit(lambda session: session.renew())  # another id is no login
    harness.advance(20)
    answer = browser.visit(lambda session: sensitive())
    assert (answer.status, answer.value, answer.set_cookie) == (401, None, None)
    browser.visit(lambda session: session.renew("alice"))
    assert browser.visit(lambda session: sensitive()).value == "done"
    assert browser.visit(everything).value == ("alice", {"n": 1})


def test_who_is_not_logged_in_has_no_fresh_login(harness: Harness) -> None:
    stranger = Browser(application(harness.store))
    assert stranger.visit(lambda session: sensitive()).status == 401
    stranger.visit(lambda session: session.update(a=1))
    assert stranger.visit(lambda session: sensitive()).status == 401
    assert stranger.visit(lambda session: (session.auth_time, session.auth_age())).value == (None, None)


def test_without_an_answer_of_the_store_no_login_is_fresh(harness: Harness, browser: Browser) -> None:
    with harness.outage():
        answer = browser.visit(lambda session: sensitive())
    assert (answer.status, answer.value) == (503, None)
