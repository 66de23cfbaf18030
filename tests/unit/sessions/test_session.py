"""A session through a Flask application, on every store."""

from __future__ import annotations

import gc
import hashlib
import weakref
from typing import Any

import pytest

from nodes.sessions import MemoryStore, Session, SessionEnded, SessionOptions, Sessions, SessionTooLarge, Store
from nodes.sessions.signals import session_absent, session_conflict, session_created, session_ended, session_renewed
from tests.support.browser import Browser, application
from tests.support.harness import Harness


def put(**values: Any) -> Any:
    return lambda session: session.update(values)


def everything(session: Session) -> dict[str, Any]:
    return dict(session)


@pytest.fixture
def browser(store: Store) -> Browser:
    return Browser(application(store))


def test_reading_makes_no_session_and_no_cookie(browser: Browser, harness: Harness) -> None:
    answer = browser.visit(
        lambda session: (session.get("a"), session.owner, len(session), session.is_new, "a" in session)
    )
    assert answer.value == (None, None, 0, True, False)
    assert answer.set_cookie is None
    assert harness.keys() == set()


def test_only_a_response_that_depends_on_the_session_forbids_caching(browser: Browser) -> None:
    untouched = browser.visit().response
    assert (untouched.headers.get("Vary"), untouched.headers.get("Cache-Control")) == (None, None)
    for view in (lambda s: s.get("a"), put(a=1), lambda s: s.owner, lambda s: s.end()):
        response = browser.visit(view).response
        assert (response.headers["Vary"], response.headers["Cache-Control"]) == ("Cookie", "no-store")


def test_what_was_written_is_read_in_the_next_request(browser: Browser, harness: Harness) -> None:
    value = {"none": None, "list": [1, 2.5, "x", b"\x00", {"deep": [True]}], "big": 2**63, "text": "é\0𝄞"}
    value = getattr(harness, "plain", lambda value: value)(value)
    assert browser.visit(put(value=value, other=1)).set_cookie is not None
    answer = browser.visit(everything)
    assert answer.value == {"value": value, "other": 1}
    assert answer.set_cookie is None


def test_a_change_inside_a_value_is_saved(browser: Browser) -> None:
    browser.visit(put(cart={"apple": [1]}, other=[1]))

    def change(session: Session) -> None:
        session["cart"]["apple"].append(2)
        session["cart"]["pear"] = [3]
        assert session["other"] == [1]

    browser.visit(change)
    assert browser.visit(everything).value == {"cart": {"apple": [1, 2], "pear": [3]}, "other": [1]}


def test_every_method_of_a_mapping_works(browser: Browser) -> None:
    browser.visit(put(a=1, b=[2], c=3))

    def change(session: Session) -> None:
        assert session.pop("a") == 1
        assert session.pop("missing", None) is None
        assert session.setdefault("b", []) == [2]
        session.setdefault("d", []).append(4)
        del session["c"]
        session["c"] = 30
        assert sorted(session) == ["b", "c", "d"]
        assert ("a" in session, "c" in session) == (False, True)

    browser.visit(change)
    assert browser.visit(everything).value == {"b": [2], "c": 30, "d": [4]}
    with pytest.raises(KeyError):
        browser.visit(lambda session: session["a"])
    with pytest.raises(KeyError):
        browser.visit(lambda session: session.__delitem__("a"))


def test_a_reader_overwrites_no_concurrent_write(browser: Browser) -> None:
    browser.visit(put(cart=["apple"]))
    with browser.request() as (reader, _):
        assert reader["cart"] == ["apple"]
        browser.visit(put(cart=["apple", "pear"]))
    assert browser.visit(everything).value == {"cart": ["apple", "pear"]}


def test_mutate_loses_nothing_to_a_concurrent_request(browser: Browser) -> None:
    browser.visit(put(n=1, log=[]))
    with browser.request() as (slow, answer):
        assert slow["n"] == 1
        slow["log"].append("slow")
        browser.visit(lambda session: session.mutate("n", lambda n: n + 10))
        answer.value = slow.mutate("n", lambda n: n + 100)
    assert answer.value == 111
    assert browser.visit(everything).value == {"n": 111, "log": ["slow"]}


def test_mutate_sees_earlier_changes_and_later_ones_are_saved(browser: Browser) -> None:
    browser.visit(put(n=1, gone=1))

    def view(session: Session) -> None:
        session["n"] = 5
        del session["gone"]
        assert session.mutate("n", lambda n: n + 1) == 6
        assert session.mutate("gone", lambda value: value, default="default") == "default"
        items = session.mutate("items", lambda items: [*items, 1], default=[])
        items.append(2)
        session["after"] = True

    browser.visit(view)
    assert browser.visit(everything).value == {"n": 6, "gone": "default", "items": [1, 2], "after": True}


def test_mutate_after_a_concurrent_logout_raises_session_ended(browser: Browser, harness: Harness) -> None:
    browser.visit(put(n=1))
    header = browser.header
    with browser.request() as (slow, _answer):
        assert slow["n"] == 1
        browser.visit(lambda session: session.end())
        with pytest.raises(SessionEnded):
            slow.mutate("n", lambda n: n + 1)
    assert harness.keys() == set()
    assert browser.visit(everything, header=header).value == {}


def test_a_request_in_flight_does_not_revive_a_logout(browser: Browser, harness: Harness) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: session.renew("alice"))
    header = browser.header
    with browser.request() as (slow, answer):
        assert slow.owner == "alice"
        slow["a"] = 2
        assert browser.visit(lambda session: session.end()).response.headers["Set-Cookie"].startswith("session=;")
    assert answer.status == 409
    assert answer.set_cookie is None
    assert harness.keys() == set()
    assert browser.visit(lambda session: session.owner, header=header).value is None


def test_a_write_without_a_read_to_an_ended_session_starts_a_new_one(browser: Browser, harness: Harness) -> None:
    browser.visit(put(secret="of before"))
    header = browser.header
    browser.visit(lambda session: session.end())
    answer = browser.visit(put(theme="dark"), header=header)
    assert answer.status == 200
    assert answer.set_cookie is not None
    assert browser.header != header
    assert browser.visit(everything).value == {"theme": "dark"}


def test_login_renews_the_id_keeps_the_data_and_kills_the_old_id(browser: Browser, harness: Harness) -> None:
    browser.visit(put(cart=["apple"]))
    before, old_keys = browser.header, harness.keys()

    def login(session: Session) -> None:
        session["cart"].append("pear")
        session.renew("alice")
        assert session.owner == "alice"
        session["cart"].append("fig")

    browser.visit(login)
    assert browser.header != before
    assert not harness.keys() & old_keys
    assert browser.visit(everything).value == {"cart": ["apple", "pear", "fig"]}
    assert browser.visit(lambda session: session.owner).value == "alice"
    replay = browser.visit(lambda session: (session.owner, dict(session)), header=before)
    assert replay.value == (None, {})


def test_a_write_that_lands_during_a_renewal_is_carried_over(harness: Harness) -> None:
    app = application(harness.store)
    browser = Browser(app)
    browser.visit(put(cart=["apple"], mine=1, gone=1))
    header = browser.header
    other = Browser(app)

    def write(sender: object, key: str) -> None:
        other.visit(lambda s: (s["cart"].append("pear"), s.pop("gone"), put(new=1, mine=3)(s)), header=header)

    def login(session: Session) -> None:
        session["mine"] = 2
        assert session["cart"] == ["apple"]
        write(None, "")
        session.renew("alice")

    browser.visit(login)
    assert browser.visit(everything).value == {"cart": ["apple", "pear"], "mine": 2, "new": 1}


def test_a_write_to_the_old_id_after_a_renewal_is_refused_not_lost_silently(browser: Browser) -> None:
    browser.visit(put(n=1))
    with browser.request() as (slow, answer):
        assert slow["n"] == 1
        slow["n"] = 2
        browser.visit(lambda session: session.renew("alice"))
    assert answer.status == 409
    assert browser.visit(everything).value == {"n": 1}


def test_logout_clears_cookie_and_store_and_the_next_session_is_new(browser: Browser, harness: Harness) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: session.end())
    assert (browser.cookies, harness.keys()) == ({}, set())
    browser.visit(lambda session: session.end())
    assert browser.visit(lambda session: (session.end(), put(b=1)(session))).set_cookie is not None
    assert browser.visit(everything).value == {"b": 1}


def test_a_session_expires_when_idle_and_reading_keeps_it_alive(browser: Browser, harness: Harness) -> None:
    browser.visit(put(a=1))
    for _ in range(4):
        harness.advance(1200)
        assert browser.visit(everything).value == {"a": 1}
    harness.advance(1801)
    assert browser.visit(everything).value == {}


def test_created_is_the_time_of_the_login(browser: Browser, harness: Harness) -> None:
    browser.visit(put(a=1))
    harness.advance(100)
    assert harness.store.ping() - browser.visit(lambda session: session.created).value == pytest.approx(100, abs=5)
    browser.visit(lambda session: session.renew("alice"))
    second = browser.visit(lambda session: session.created).value
    assert harness.store.ping() - second == pytest.approx(0, abs=5)
    assert browser.visit(lambda session: session.created).value == second


def test_a_damaged_session_is_anonymous_and_set_aside(browser: Browser, harness: Harness) -> None:
    browser.visit(lambda session: session.renew("alice"))
    (key,) = harness.keys()
    harness.damage(key)
    assert browser.visit(lambda session: (session.owner, dict(session))).value == (None, {})
    assert harness.keys() == set()
    browser.visit(put(a=1))
    assert browser.visit(everything).value == {"a": 1}


def test_an_outage_is_a_503_that_touches_no_cookie_and_logs_nobody_out(browser: Browser, harness: Harness) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: session.renew("alice"))
    header = browser.header
    with harness.outage():
        for view in (
            everything,
            lambda session: session.owner,
            put(b=1),
            lambda session: session.mutate("a", lambda a: a),
            lambda session: session.renew("bob"),
            lambda session: "a" in session,
            lambda session: session.end(),
        ):
            answer = browser.visit(view)
            assert answer.status == 503
            assert answer.response.headers["Retry-After"] == "1"
            assert answer.response.headers["Cache-Control"] == "no-store"
            assert answer.set_cookie is None
        assert browser.visit().status == 200
    assert browser.header == header
    assert browser.visit(lambda session: (session.owner, session["a"])).value == ("alice", 1)


def test_a_value_that_cannot_be_stored_is_refused_where_it_is_assigned(browser: Browser) -> None:
    browser.visit(put(a=1))

    def view(session: Session) -> None:
        with pytest.raises(TypeError, match=r"session\['b'\]"):
            session["b"] = object()
        with pytest.raises(TypeError, match="keys are strings"):
            session[3] = 1  # type: ignore[index]

    browser.visit(view)
    assert browser.visit(everything).value == {"a": 1}


def test_a_session_over_its_bound_is_refused_where_it_is_written_and_loses_nothing(store: Store) -> None:
    browser = Browser(application(store, max_bytes=1000))
    browser.visit(put(a="x" * 500))

    def view(session: Session) -> None:
        assert session["a"]
        with pytest.raises(SessionTooLarge):
            session["b"] = "y" * 600
        session["a"] = "z"
        session["b"] = "y" * 600

    browser.visit(view)
    assert browser.visit(put(c="x" * 500)).status == 413  # not read before: the store has the last word
    assert browser.visit(lambda session: session.mutate("b", lambda b: b * 2)).status == 413
    assert browser.visit(everything).value == {"a": "z", "b": "y" * 600}


def test_what_happens_is_signalled(harness: Harness) -> None:
    app = application(harness.store)
    sessions: Sessions = app.extensions["sessions"]
    seen: list[str] = []

    def listen(name: str) -> Any:
        return lambda sender, key: seen.append(name) if sender is sessions and len(key) == 64 else None

    signals = (session_created, session_renewed, session_ended, session_absent, session_conflict)
    with session_created.connected_to(listen("created")), session_renewed.connected_to(listen("renewed")):
        with session_ended.connected_to(listen("ended")), session_absent.connected_to(listen("absent")):
            with session_conflict.connected_to(listen("conflict")):
                browser = Browser(app)
                browser.visit(put(n=1))
                header = browser.header
                browser.visit(lambda session: session.renew("alice"))
                browser.visit(everything, header=header)
                with browser.request() as (slow, _):
                    assert slow["n"] == 1
                    browser.visit(lambda session: session.mutate("n", lambda n: n + 1))
                    slow.mutate("n", lambda n: n + 1)
                browser.visit(lambda session: session.end())
    assert seen == ["created", "renewed", "absent", "conflict", "ended"]
    assert len(signals) == len(set(seen))


def test_a_session_is_freed_at_once_and_waits_for_no_garbage_collector() -> None:
    app = application(MemoryStore())
    gc.disable()
    try:
        with app.test_request_context() as context:
            session = app.session_interface.open_session(app, context.request)
            assert isinstance(session, Session)
            session["a"] = [1]
            session.renew("alice")
            app.session_interface.save_session(app, session, app.make_response("ok"))
            freed = weakref.ref(session)
            del session
            assert freed() is None
    finally:
        gc.enable()


def test_the_key_of_a_session_is_known_without_asking_the_store(browser: Browser, harness: Harness) -> None:
    browser.visit(put(a=1))
    session_id = browser.visit(lambda session: session.id).value
    with harness.outage():
        answer = browser.visit(lambda session: session.key_hash)
    assert (answer.status, answer.value) == (200, hashlib.sha256(session_id.encode()).hexdigest())
    assert harness.keys() == {harness.store.cookie.to_key(session_id)}


def test_7_1_1_timeouts_and_caps_have_the_documented_values() -> None:
    options = SessionOptions(secrets=("x" * 32,))
    assert (options.idle_timeout, options.absolute_timeout) == (30 * 60, 8 * 60 * 60)
    assert (options.max_bytes, options.max_sessions) == (64 * 1024, None)
