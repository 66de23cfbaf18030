"""A session in a Flask application, as views use it."""

from __future__ import annotations

import gc
import hashlib
import weakref
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from markupsafe import Markup

from nodes.sessions import (
    MemoryStore,
    Session,
    SessionData,
    SessionEnded,
    SessionOptions,
    SessionTooLarge,
    Store,
    StoreUnavailable,
    current_session,
)
from nodes.sessions.store import MARK_SECONDS
from tests.support.browser import Browser, View, application
from tests.support.harness import Harness


def put(**values: Any) -> Any:
    return lambda session: session.update(values)


@pytest.fixture
def browser(store: Store) -> Browser:
    return Browser(application(store))


def test_reading_makes_no_session_and_no_cookie(browser: Browser, harness: Harness) -> None:
    answer = browser.visit(
        lambda session: (session.get("a"), current_session.owner, len(session), current_session.is_new, "a" in session)
    )
    assert answer.value == (None, None, 0, True, False)
    assert answer.set_cookie is None
    assert harness.keys() == set()


def test_only_a_response_that_depends_on_the_session_forbids_caching(browser: Browser) -> None:
    untouched = browser.visit().response
    assert (untouched.headers.get("Vary"), untouched.headers.get("Cache-Control")) == (None, None)
    for view in (lambda s: s.get("a"), put(a=1), lambda s: current_session.owner, lambda s: current_session.end()):
        response = browser.visit(view).response
        assert (response.headers["Vary"], response.headers["Cache-Control"]) == ("Cookie", "no-store")


def test_a_change_inside_a_value_is_saved(browser: Browser) -> None:
    browser.put(cart={"apple": [1]}, other=[1])

    def change(session: SessionData) -> None:
        session["cart"]["apple"].append(2)
        session["cart"]["pear"] = [3]
        assert session["other"] == [1]

    browser.visit(change)
    assert browser.data == {"cart": {"apple": [1, 2], "pear": [3]}, "other": [1]}


def test_values_keep_their_types_and_a_change_inside_a_tuple_is_saved(browser: Browser) -> None:
    values: dict[str, Any] = {
        "flashes": [("message", Markup("<b>"))],
        "pair": ({"a": 1}, {2}),
        "id": UUID(int=1),
        "when": datetime(2026, 1, 2, 3, 4),
        "large": 2**70,
        "total": Decimal("1.10"),
    }
    browser.put(**values)
    browser.visit(lambda session: session["pair"][1].add(3))
    data = browser.data
    assert data == values | {"pair": ({"a": 1}, {2, 3})}
    assert type(data["flashes"][0][1]) is Markup


@pytest.mark.parametrize("key", [None, 1, 1.5, b"a", (1,), True], ids=repr)
def test_a_key_that_is_not_a_str_is_missing(browser: Browser, key: Any) -> None:
    browser.put(a=1)

    def view(session: SessionData) -> None:
        assert session.get(key, "default") == "default"
        assert session.pop(key, "default") == "default"
        assert key not in session
        with pytest.raises(KeyError):
            session[key]
        with pytest.raises(KeyError):
            del session[key]
        with pytest.raises(TypeError, match="keys are strings"):
            session[key] = 1

    browser.visit(view)
    assert browser.data == {"a": 1}


def test_a_session_merges_and_copies_as_a_dict_does(browser: Browser) -> None:
    browser.put(a=1)

    def view(session: SessionData) -> None:
        assert session | {"b": 2} == {"a": 1, "b": 2}
        assert {"a": 0, "b": 2} | session == {"a": 1, "b": 2}
        copied = session.copy()
        copied["c"] = 3
        assert session == {"a": 1}
        with pytest.raises(TypeError):
            session | 1
        session |= {"d": 4}
        session |= [("e", 5)]
        assert isinstance(session, SessionData)

    browser.visit(view)
    assert browser.data == {"a": 1, "d": 4, "e": 5}


def test_every_method_of_a_mapping_works(browser: Browser) -> None:
    browser.put(a=1, b=[2], c=3)

    def change(session: SessionData) -> None:
        assert session.pop("a") == 1
        assert session.pop("missing", None) is None
        assert session.setdefault("b", []) == [2]
        session.setdefault("d", []).append(4)
        del session["c"]
        session["c"] = 30
        assert sorted(session) == ["b", "c", "d"]
        assert ("a" in session, "c" in session) == (False, True)
        for missing in (lambda: session["a"], lambda: session.__delitem__("a")):
            with pytest.raises(KeyError):
                missing()

    browser.visit(change)
    assert browser.data == {"b": [2], "c": 30, "d": [4]}


def test_a_reader_overwrites_no_concurrent_write(browser: Browser) -> None:
    browser.put(cart=["apple"])
    with browser.request() as (reader, _):
        assert reader["cart"] == ["apple"]
        browser.put(cart=["apple", "pear"])
    assert browser.data == {"cart": ["apple", "pear"]}


def test_mutate_loses_nothing_to_a_concurrent_request(browser: Browser) -> None:
    browser.put(n=1, log=[])
    with browser.request() as (slow, _):
        assert slow["n"] == 1
        slow["log"].append("slow")
        browser.visit(lambda session: current_session.mutate("n", lambda n: n + 10))
        assert Session.of(slow).mutate("n", lambda n: n + 100) == 111
    assert browser.data == {"n": 111, "log": ["slow"]}


def test_mutate_sees_earlier_changes_and_later_ones_are_saved(browser: Browser) -> None:
    browser.put(n=1, gone=1)

    def view(session: SessionData) -> None:
        session["n"] = 5
        del session["gone"]
        assert current_session.mutate("n", lambda n: n + 1) == 6
        assert current_session.mutate("n", lambda n: n) == 6
        assert current_session.mutate("gone", lambda value: value, default="default") == "default"
        items = current_session.mutate("items", lambda items: [*items, 1], default=[])
        items.append(2)
        session["after"] = True

    browser.visit(view)
    assert browser.data == {"n": 6, "gone": "default", "items": [1, 2], "after": True}


def test_mutate_after_a_concurrent_logout_raises_session_ended(browser: Browser, harness: Harness) -> None:
    browser.put(n=1)
    with browser.request() as (slow, _):
        assert slow["n"] == 1
        browser.log_out()
        with pytest.raises(SessionEnded):
            Session.of(slow).mutate("n", lambda n: n + 1)
    assert harness.keys() == set()


def test_a_request_in_flight_does_not_revive_a_logout(browser: Browser, harness: Harness) -> None:
    browser.put(a=1)
    browser.log_in()
    header = browser.header
    with browser.request() as (slow, answer):
        assert Session.of(slow).owner == "alice"
        slow["a"] = 2
        assert (browser.log_out().set_cookie or "").startswith("session=;")
    assert (answer.status, answer.set_cookie) == (409, None)
    assert harness.keys() == set()
    assert browser.read(header=header) == (None, {})


def test_a_write_to_a_session_that_ended_long_ago_starts_a_new_one(browser: Browser, harness: Harness) -> None:
    browser.put(secret="of before")
    header = browser.header
    browser.log_out()
    harness.advance(MARK_SECONDS + 1)
    assert browser.visit(put(theme="dark"), header=header).status == 200
    assert browser.header not in {header, ""}
    assert browser.data == {"theme": "dark"}


def test_login_renews_the_id_keeps_the_data_and_kills_the_old_id(browser: Browser, harness: Harness) -> None:
    browser.put(cart=["apple"])
    before, old_keys = browser.header, harness.keys()

    def login(session: SessionData) -> None:
        session["cart"].append("pear")
        current_session.renew("alice")
        assert current_session.owner == "alice"
        session["cart"].append("fig")

    browser.visit(login)
    assert browser.header != before
    assert not harness.keys() & old_keys
    assert browser.read() == ("alice", {"cart": ["apple", "pear", "fig"]})
    assert browser.read(header=before) == (None, {})


@pytest.mark.parametrize(
    ("concurrent", "expected"),
    [
        (
            lambda s: (s["cart"].append("pear"), s.update(new=1, mine=3)),
            {"cart": ["apple", "pear"], "gone": 1, "new": 1},
        ),
        (lambda s: (s.pop("gone"), s.pop("mine")), {"cart": ["apple"]}),
    ],
    ids=["writes", "deletions"],
)
def test_concurrent_changes_before_a_renewal_are_carried_over(
    browser: Browser, concurrent: View, expected: dict[str, Any]
) -> None:
    browser.put(cart=["apple"], mine=1, gone=1)
    with browser.request() as (session, _):
        session["mine"] = 2
        assert session["cart"] == ["apple"]
        browser.visit(concurrent)
        current_session.renew("alice")
        assert dict(session) == expected | {"mine": 2}
    assert browser.data == expected | {"mine": 2}


def test_a_write_to_the_old_id_after_a_renewal_is_refused_not_lost_silently(browser: Browser) -> None:
    browser.put(n=1)
    with browser.request() as (slow, answer):
        assert slow["n"] == 1
        slow["n"] = 2
        browser.log_in()
    assert answer.status == 409
    assert browser.data == {"n": 1}


def test_logout_clears_cookie_and_store_and_the_next_session_is_new(browser: Browser, harness: Harness) -> None:
    browser.put(a=1)
    for _ in range(2):
        browser.log_out()
        assert (browser.cookies, harness.keys()) == ({}, set())
    browser.put(a=1)
    view: View = lambda session: (session["a"], current_session.end(), dict(session), session.update(b=1))  # noqa: E731
    assert browser.visit(view).value == (1, None, {}, None)
    assert browser.data == {"b": 1}


def test_a_session_expires_when_idle_and_reading_keeps_it_alive(browser: Browser, harness: Harness) -> None:
    browser.put(a=1)
    for _ in range(4):
        harness.advance(1200)
        assert browser.data == {"a": 1}
    harness.advance(1801)
    assert browser.data == {}


def test_created_is_the_time_of_the_login(browser: Browser, harness: Harness) -> None:
    def age() -> float:
        return harness.store.ping() - float(browser.visit(lambda session: current_session.created).value)

    browser.put(a=1)
    harness.advance(100)
    assert age() == pytest.approx(100, abs=5)
    browser.log_in()
    assert age() == pytest.approx(0, abs=5)


def test_an_outage_is_a_503_that_touches_no_cookie_and_logs_no_user_out(browser: Browser, harness: Harness) -> None:
    browser.put(a=1)
    browser.log_in()
    header = browser.header
    with harness.outage():
        for view in (
            dict,
            lambda session: current_session.owner,
            put(b=1),
            lambda session: current_session.mutate("a", lambda a: a),
            lambda session: current_session.renew("bob"),
            lambda session: "a" in session,
            lambda session: current_session.end(),
        ):
            answer = browser.visit(view)
            assert (answer.status, answer.set_cookie) == (503, None)
            assert answer.response.headers["Retry-After"] == "1"
            assert answer.response.headers["Cache-Control"] == "no-store"
        assert "try again" in browser.visit(dict).response.get_json()["error"]
        write = browser.visit(dict, environ={"REQUEST_METHOD": "POST"}).response.get_json()["error"]
        assert ("check before you repeat it" in write, "try again" in write) == (True, False)
        assert browser.visit().status == 200
    assert browser.header == header
    assert browser.read() == ("alice", {"a": 1})


def test_a_view_may_handle_an_outage_itself(browser: Browser, harness: Harness) -> None:
    def view(session: SessionData) -> Any:
        try:
            return session.get("a")
        except StoreUnavailable:
            return "later"

    browser.put(a=1)
    with harness.outage():
        answer = browser.visit(view)
    assert (answer.status, answer.value, answer.set_cookie) == (200, "later", None)


def test_a_value_that_cannot_be_stored_is_refused_where_it_is_assigned(browser: Browser) -> None:
    browser.put(a=1)

    def view(session: SessionData) -> None:
        with pytest.raises(TypeError, match=r"session\['b'\]"):
            session["b"] = object()
        with pytest.raises(TypeError, match="keys are strings"):
            session[3] = 1  # type: ignore[index]

    browser.visit(view)
    assert browser.data == {"a": 1}


def test_a_session_over_its_bound_is_refused_where_it_is_written_and_loses_nothing(store: Store) -> None:
    browser = Browser(application(store, max_bytes=1000))
    browser.put(a="x" * 500)

    def view(session: SessionData) -> None:
        assert session["a"]
        with pytest.raises(SessionTooLarge):
            session["b"] = "y" * 600
        session["a"] = "z"
        session["b"] = "y" * 600

    browser.visit(view)
    assert browser.put(c="x" * 500).status == 413  # not read before: the store has the last word
    assert browser.visit(lambda session: current_session.mutate("b", lambda b: b * 2)).status == 413
    assert browser.data == {"a": "z", "b": "y" * 600}


def test_each_event_of_a_session_is_signalled(browser: Browser) -> None:
    with browser.signals() as seen:
        browser.put(n=1)
        header, first = browser.header, browser.key
        browser.log_in()
        browser.read(header=header)
        with browser.request() as (slow, _):
            assert slow["n"] == 1
            browser.visit(lambda session: current_session.mutate("n", lambda n: n + 1))
            Session.of(slow).mutate("n", lambda n: n + 1)
        key = browser.key
        browser.log_out()
    assert seen == [("created", first), ("renewed", key), ("absent", first), ("conflict", key), ("ended", key)]


def test_a_session_is_freed_at_once_and_waits_for_no_garbage_collector() -> None:
    app = application(MemoryStore())
    gc.disable()
    try:
        with app.test_request_context() as context:
            session = app.session_interface.open_session(app, context.request)
            assert session is not None
            session["a"] = [1]
            Session.of(session).renew("alice")
            app.session_interface.save_session(app, session, app.make_response("ok"))
            freed = weakref.ref(session)
            del session
            assert freed() is None
    finally:
        gc.enable()


def test_the_hash_of_the_id_is_known_without_asking_the_store(browser: Browser, harness: Harness) -> None:
    browser.put(a=1)
    session_id = browser.visit(lambda session: current_session.id).value
    with harness.outage():
        assert browser.key == hashlib.sha256(session_id.encode()).hexdigest()


def test_7_1_1_timeouts_and_caps_have_the_documented_values() -> None:
    options = SessionOptions(secrets=("x" * 32,))
    assert (options.idle_timeout, options.absolute_timeout) == (30 * 60, 8 * 60 * 60)
    assert (options.max_bytes, options.max_sessions) == (64 * 1024, None)


# ---- clear: the logout of Flask's tutorial, and the beginning of its login


def test_clear_ends_the_session_and_clears_its_cookie(browser: Browser, harness: Harness) -> None:
    browser.log_in("alice")
    old = browser.header
    with browser.request() as (session, answer):
        session.clear()
        assert (dict(session), current_session.owner, current_session.exists) == ({}, None, False)
        assert current_session.id is None
    assert "Max-Age=0" in str(answer.set_cookie)
    assert harness.keys() == set()
    assert browser.read(header=old) == (None, {})
    assert browser.visit(lambda session: session.clear()).set_cookie is None


def test_clear_and_a_write_renew_the_id_and_nothing_of_the_old_session_is_left(browser: Browser) -> None:
    browser.visit(
        lambda session: (current_session.renew("alice"), session.update(a=1), setattr(session, "permanent", True))
    )
    old = browser.header
    browser.visit(lambda session: (session.clear(), session.update(user_id=7)))
    assert browser.header != old
    assert browser.read() == (None, {"user_id": 7})
    assert browser.visit(lambda session: session.permanent).value is False
    assert browser.read(header=old) == (None, {})


def test_clear_and_a_login_end_the_old_session(browser: Browser, harness: Harness) -> None:
    browser.log_in("alice")
    browser.visit(lambda session: (session.clear(), current_session.renew("bob"), session.update(a=1)))
    assert browser.read() == ("bob", {"a": 1})
    assert len(harness.keys()) == 1


def test_a_session_that_is_cleared_can_be_ended_reloaded_or_left_alone(browser: Browser, harness: Harness) -> None:
    browser.log_in("alice")
    browser.put(a=1)
    browser.visit(lambda session: (session.clear(), current_session.unset()))
    assert browser.read() == ("alice", {"a": 1})
    browser.visit(lambda session: (session.clear(), current_session.reload()))
    assert browser.read() == ("alice", {"a": 1})
    browser.visit(lambda session: (session.clear(), session.update(b=1), session.clear(), current_session.end()))
    assert browser.cookies == {}
    assert harness.keys() == set()


@pytest.mark.parametrize(
    "logout",
    [
        lambda session: (current_session.end(), session.clear()),
        lambda session: (current_session.end(), session.update(flash="bye"), session.clear()),
        lambda session: (session.clear(), current_session.save(), session.clear()),
        lambda session: (session.clear(), session.clear(), current_session.end(), session.clear()),
    ],
    ids=["end-clear", "end-write-clear", "clear-save-clear", "clear-clear-end-clear"],
)
def test_a_session_that_is_ended_and_cleared_has_no_cookie(browser: Browser, harness: Harness, logout: View) -> None:
    browser.log_in("alice")
    browser.visit(logout)
    assert (browser.cookies, harness.keys()) == ({}, set())


def test_a_login_that_is_cleared_in_one_request_leaves_no_session(browser: Browser, harness: Harness) -> None:
    browser.put(a=1)
    browser.visit(lambda session: (current_session.renew("alice"), session.clear()))
    assert (browser.cookies, harness.keys()) == ({}, set())


def test_the_session_lives_on_where_its_end_failed(browser: Browser, harness: Harness) -> None:
    browser.log_in("alice")
    with harness.outage():
        answer = browser.visit(lambda session: session.clear())
    assert (answer.status, answer.set_cookie) == (503, None)
    assert browser.owner == "alice"


def test_a_session_does_not_end_with_its_last_key(browser: Browser) -> None:
    browser.log_in("alice")
    browser.put(a=1)
    browser.visit(lambda session: session.pop("a"))
    assert browser.read() == ("alice", {})
