"""Encryption is turned on and off step by step: nodes of adjacent steps share their sessions and lose nothing.

A node without keys comes first; then one that reads encrypted values, one that writes them, one that requires them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sessions import EncryptedStore, Encryption, MemoryStore, Session, Store, UnknownKey
from nodes.sessions.codec import OVERHEAD
from tests.integration.sessions.test_state_machine import VALUES
from tests.support.browser import Browser, View, application
from tests.support.harness import MemoryHarness

OLD, SECRET = b"o" * 32, b"n" * 32
ABSOLUTE = 5000.0

Step = Encryption | None
STEPS: list[Step] = [None, Encryption.READ, Encryption.WRITE, Encryption.REQUIRE]


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


def node(step: Step, inner: Store) -> Flask:
    store = inner if step is None else EncryptedStore(inner, [SECRET], step)
    return application(store, idle_timeout=1000, absolute_timeout=ABSOLUTE, remember_client=True, max_sessions=5)


def logged_in(app: Flask, **data: Any) -> Browser:
    browser = Browser(app)
    browser.put(**data)
    browser.log_in()
    return browser


# ---- a node without keys


@pytest.mark.parametrize("step", [Encryption.WRITE, Encryption.REQUIRE])
def test_a_node_without_keys_can_only_end_an_encrypted_session(inner: MemoryStore, step: Encryption) -> None:
    browser = logged_in(node(step, inner), n=1)
    away = browser.at(node(None, inner))
    before = {key: dict(entry.fields) for key, entry in inner._entries.items()}
    views: list[View] = [
        dict,
        lambda session: session.mutate("n", lambda n: n + 1),
        lambda session: session.update(n=2),  # without a read
        lambda session: session.touch(),
        lambda session: session.renew("bob"),
        lambda session: session.reload(),
    ]
    for view in views:
        answer = away.visit(view)
        assert (answer.status, answer.set_cookie) == (503, None)
    with pytest.raises(UnknownKey):
        away.users.of("alice")
    assert {key: dict(entry.fields) for key, entry in inner._entries.items()} == before
    assert browser.read() == ("alice", {"n": 1})
    answer = away.log_out()
    assert (answer.status, "Max-Age=0" in (answer.set_cookie or "")) == (200, True)
    assert not inner._entries


def test_a_corrupt_value_is_corrupt_for_a_node_without_keys_too(inner: MemoryStore) -> None:
    browser = Browser(node(None, inner))
    browser.put(n=1)
    (entry,) = inner._entries.values()
    entry.fields["n"] = b"\xe1" * (OVERHEAD - 1)  # too short
    assert browser.read() == (None, {})
    assert not inner._entries


@pytest.mark.parametrize(
    "store", [lambda inner: inner, lambda inner: EncryptedStore(inner, [OLD])], ids=["none", "another"]
)
def test_a_login_does_not_carry_over_values_of_an_unknown_key(
    inner: MemoryStore, store: Callable[[MemoryStore], Store]
) -> None:
    mine, writing = Browser(application(store(inner))), application(EncryptedStore(inner, [SECRET, OLD]))
    mine.put(cart=[1], x=2)
    with mine.request() as (session, _):
        assert session["cart"] == [1]
        mine.at(writing).put(theme="dark", x=3)
        session["y"] = 3
        session.renew("alice")
    assert mine.read() == ("alice", {"cart": [1], "x": 2, "y": 3})


# ---- nodes of two steps beside each other


@pytest.mark.parametrize("steps", list(pairwise(STEPS)))
def test_nodes_of_adjacent_steps_share_their_sessions(inner: MemoryStore, steps: tuple[Step, Step]) -> None:
    one, other = (node(step, inner) for step in steps)
    for home, away in ((one, other), (other, one)):
        browser = logged_in(home, n=1, **{"~": 1, "~n": 1, "~~n": 1, "~owner": 1, "_cookie": 1})
        abroad = browser.at(away)

        def change(session: Session) -> None:
            session.mutate("n", lambda n: n + 1)
            session["~owner"] += 1
            session["_cookie"] += 1
            session["~n"] += 1
            del session["~~n"]
            session.max_age = 500

        expected = {"n": 2, "~": 1, "~n": 2, "~owner": 2, "_cookie": 2}
        assert abroad.visit(change).status == 200
        assert browser.read() == ("alice", expected)
        assert browser.visit(lambda session: session.max_age).value == 500
        assert [each.address for each in browser.users.of("alice")] == [""]
        assert abroad.put(blind=1).status == 200
        browser.visit(lambda session: session.renew())
        abroad.log_in("bob")
        assert browser.read() == ("bob", expected | {"blind": 1})
        browser.visit(lambda session: session.clear())
        assert abroad.read() == ("bob", {})
        assert abroad.log_out().status == 200
        assert not inner._entries


def test_require_rejects_sessions_written_without_encryption(inner: MemoryStore) -> None:
    """So it must wait for the absolute timeout."""
    reading, requiring = node(Encryption.READ, inner), node(Encryption.REQUIRE, inner)
    browser = logged_in(requiring, n=1)
    assert browser.at(reading).visit(lambda session: session.mutate("n", lambda n: n + 1)).value == 2
    assert browser.read() == (None, {})
    assert logged_in(reading).at(requiring).read() == (None, {})


# ---- all steps


ACTIONS: dict[str, Callable[[str, Any], View]] = {
    "write": lambda key, value: lambda session: (session.get(key), session.update({key: value})),
    "write without reading": lambda key, value: lambda session: session.update({key: value}),
    "count": lambda key, value: lambda session: session.mutate("count", lambda n: n + 1, default=0),
    "pop": lambda key, value: lambda session: session.pop(key, None),
    "login": lambda key, value: lambda session: session.renew("alice"),
    "rotate": lambda key, value: lambda session: session.renew(),
    "logout": lambda key, value: lambda session: session.end(),
}
ACTION = st.tuples(
    st.integers(0, 1), st.sampled_from(list(ACTIONS)), st.sampled_from(["n", "cart", "~n", "~owner"]), VALUES
)
Content = tuple[str | None, dict[str, Any]]


def expected_after(action: str, key: str, value: Any, content: Content) -> Content:
    owner, data = content
    match action:
        case "write" | "write without reading":
            return owner, {**data, key: value}
        case "count":
            return owner, {**data, "count": data.get("count", 0) + 1}
        case "pop":
            return owner, {name: kept for name, kept in data.items() if name != key}
        case "login":
            return "alice", data
        case "logout":
            return None, {}
    return content


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["forward", "back"]) | ACTION, max_size=30))
def test_a_session_behaves_as_a_mapping_through_all_steps_of_encryption(history: list[Any]) -> None:
    harness = MemoryHarness()
    apps = [node(step, harness.store) for step in STEPS]
    pair, browser = 0, Browser(apps[0])
    content: Content = (None, {})
    for entry in history:
        if isinstance(entry, str):
            target = min(max(pair + (1 if entry == "forward" else -1), 0), 2)
            if pair == 1 and target != 1:  # no node writes the other form from here on: wait until it is gone
                harness.advance(ABSOLUTE + 1)
                content = (None, {})
            pair = target
            continue
        which, action, key, value = entry
        assert browser.at(apps[pair + which]).visit(ACTIONS[action](key, value)).status == 200
        content = expected_after(action, key, value, content)
        for app in apps[pair : pair + 2]:
            assert browser.at(app).read() == content
