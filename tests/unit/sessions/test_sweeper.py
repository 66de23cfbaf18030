"""The sweeper, on the file store; and the difference between an expired session and an absent one."""

from __future__ import annotations

import threading

import pytest

from nodes.sessions import MemoryStore, StoreUnavailable, Sweeper, current_session
from nodes.sessions.capabilities import OnExpired, ignore
from tests.support.browser import Browser, application
from tests.support.harness import Harness
from tests.support.waiting import wait_until


@pytest.fixture
def store_name() -> str:
    return "file"


@pytest.fixture
def browser(harness: Harness) -> Browser:
    browser = Browser(application(harness.store, idle_timeout=1000, absolute_timeout=5000))
    browser.put(a=1)
    return browser


@pytest.fixture
def sweeper(browser: Browser) -> Sweeper:
    return Sweeper(browser.sessions.store, 60, browser.sessions.notify)


def test_a_sweep_signals_each_expired_session(harness: Harness, browser: Browser, sweeper: Sweeper) -> None:
    other = Browser(browser.app)
    other.put(a=1)
    keys = browser.key, other.key
    with browser.signals() as seen:
        assert (sweeper.sweep(), seen) == (0, [])
        harness.advance(999)
        other.read()
        harness.advance(2)
        assert (sweeper.sweep(), seen) == (1, [("expired", keys[0])])
        assert (sweeper.sweep(), len(seen)) == (0, 1)
        harness.advance(1001)
        assert (sweeper.sweep(), seen[1:]) == (1, [("expired", keys[1])])


def test_an_ended_renewed_or_quarantined_session_never_expires(
    harness: Harness, browser: Browser, sweeper: Sweeper
) -> None:
    harness.damage(browser.key)
    browser.read()
    ended, renewed = Browser(browser.app), Browser(browser.app)
    for one in (ended, renewed):
        one.put(a=1)
    ended.log_out()
    renewed.visit(lambda session: current_session.renew())
    last = renewed.key
    with browser.signals() as seen:
        harness.advance(2 * 86_400)
        sweeper.sweep()
    assert seen == [("expired", last)]


@pytest.mark.parametrize("how", ["ended", "renewed", "expired"])
def test_the_cookie_of_a_session_that_is_gone_signals_absent(harness: Harness, browser: Browser, how: str) -> None:
    header, key = browser.header, browser.key
    if how == "expired":
        harness.advance(1001)
    else:
        browser.visit(lambda session: current_session.end() if how == "ended" else current_session.renew())
    with browser.signals() as seen:
        browser.read(header=header)
        browser.visit(lambda session: session.update(b=1), header=header)
    created = [("created", browser.key)] if how == "expired" else []
    assert seen == [("absent", key), ("absent", key), *created]


def test_an_outage_is_logged_once_and_sweeping_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(MemoryStore):
        """Fails to sweep twice, then removes 250 sessions."""

        failures, left = 2, 250

        def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("no answer")
            if not self.left:
                threading.Event().wait()  # the thread of the sweeper never ends, so it waits from now on
            batch = min(limit, self.left)
            self.left -= batch
            return batch

    store = Failing()
    assert Sweeper(store, 0.01).start()
    wait_until(lambda: store.left == 0)
    assert [record.message for record in caplog.records if "not swept" in record.message] == [
        "expired sessions were not swept: no answer"
    ]
