"""The sweeper, on the file store; and the difference between an expired session and an absent one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from nodes.sessions import Sessions, Sweeper
from nodes.sessions.cookie import SignedCookie
from nodes.sessions.signals import session_absent, session_ended, session_expired
from nodes.sessions.store import OnExpired, StoreUnavailable, ignore
from tests.support.browser import Browser, application
from tests.support.harness import Harness
from tests.support.waiting import wait_until

SIGNALS = {"absent": session_absent, "ended": session_ended, "expired": session_expired}


@pytest.fixture
def store_name() -> str:
    return "file"


@pytest.fixture
def browser(harness: Harness) -> Browser:
    return Browser(application(harness.store, idle_timeout=1000, absolute_timeout=5000))


@contextlib.contextmanager
def heard(browser: Browser) -> Iterator[list[tuple[str, str]]]:
    seen: list[tuple[str, str]] = []
    sessions: Sessions = browser.app.extensions["sessions"]
    with contextlib.ExitStack() as stack:
        for name, signal in SIGNALS.items():
            listen = lambda _sender, key, name=name: seen.append((name, key))  # noqa: E731
            stack.enter_context(signal.connected_to(listen, sender=sessions))
        yield seen


def make_sweeper(browser: Browser, harness: Harness) -> Sweeper:
    sessions: Sessions = browser.app.extensions["sessions"]
    return Sweeper(harness.store, 60, sessions.notify)


def test_a_sweep_signals_each_expired_session(harness: Harness, browser: Browser) -> None:
    sweeper = make_sweeper(browser, harness)
    other = Browser(browser.app)
    hashes = []
    for one in (browser, other):
        one.visit(lambda session: session.update(a=1))
        hashes.append(one.visit(lambda session: session.key_hash).value)
    with heard(browser) as seen:
        assert (sweeper.sweep(), seen) == (0, [])
        harness.advance(999)
        other.visit(lambda session: session.get("a"))
        harness.advance(2)
        assert (sweeper.sweep(), seen) == (1, [("expired", hashes[0])])
        assert (sweeper.sweep(), len(seen)) == (0, 1)
        harness.advance(1001)
        assert sweeper.sweep() == 1
        assert seen[1:] == [("expired", hashes[1])]


def test_an_ended_renewed_or_quarantined_session_never_expires(harness: Harness, browser: Browser) -> None:
    sweeper = make_sweeper(browser, harness)
    browsers = [Browser(browser.app) for _ in range(3)]
    for one in browsers:
        one.visit(lambda session: session.update(a=1))
    renewed, ended, damaged = browsers
    renewed.visit(lambda session: session.renew())
    ended.visit(lambda session: session.end())
    (key,) = harness.keys() - {harness.store.cookie.to_key(renewed.visit(lambda session: session.id).value)}
    harness.damage(key)
    damaged.visit(lambda session: session.get("a"))
    last = renewed.visit(lambda session: session.key_hash).value
    with heard(browser) as seen:
        harness.advance(2 * 86_400)
        sweeper.sweep()
    assert seen == [("expired", last)]


@pytest.mark.parametrize("how", ["ended", "renewed", "expired"])
def test_the_cookie_of_a_session_that_is_gone_signals_absent(harness: Harness, browser: Browser, how: str) -> None:
    browser.visit(lambda session: session.update(a=1))
    header, key = browser.header, browser.visit(lambda session: session.key_hash).value
    if how == "expired":
        harness.advance(1001)
    else:
        browser.visit(lambda session: session.end() if how == "ended" else session.renew())
    with heard(browser) as seen:
        browser.visit(lambda session: session.get("a"), header=header)
        Browser(browser.app).visit(lambda session: session.update(b=1), header=header)
    assert seen == [("absent", key), ("absent", key)]


class _Outage:
    """A store that fails to sweep twice, then removes 250."""

    cookie = SignedCookie()

    def __init__(self) -> None:
        self.calls = 0
        self.left = 250

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        self.calls += 1
        if self.calls <= 2:
            raise StoreUnavailable("no answer")
        batch = min(limit, self.left)
        self.left -= batch
        return batch


def test_an_outage_is_logged_once_and_sweeping_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    store = _Outage()
    sweeper = Sweeper(store, 0.01)  # type: ignore[arg-type]
    assert sweeper.start()
    try:
        wait_until(lambda: store.left == 0)
    finally:
        sweeper.stop()
    assert [record.message for record in caplog.records if "not swept" in record.message] == [
        "expired sessions were not swept: no answer"
    ]
