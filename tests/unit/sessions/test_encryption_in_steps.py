"""Encryption is turned on and off step by step: nodes of adjacent steps share their sessions and lose nothing.

A node without keys comes first; then one that reads encrypted values, one that writes them, one that requires them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask

from nodes.sessions import EncryptedStore, Encryption, MemoryStore, SessionData, Store, UnknownKey, current_session
from nodes.sessions.codec import OVERHEAD
from tests.support.browser import Browser, View, application

OLD, SECRET = b"o" * 32, b"n" * 32

Step = Encryption | None
STEPS: list[Step] = [None, Encryption.READ, Encryption.WRITE, Encryption.REQUIRE]


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


def node(step: Step, inner: Store) -> Flask:
    store = inner if step is None else EncryptedStore(inner, [SECRET], step)
    return application(store, remember_client=True, max_sessions=5)


def logged_in(app: Flask, **data: Any) -> Browser:
    browser = Browser(app)
    browser.put(**data)
    browser.log_in()
    return browser


def test_a_session_that_exceeds_its_bound_only_encrypted_is_not_created(inner: MemoryStore) -> None:
    browser = Browser(application(EncryptedStore(inner, [SECRET]), max_bytes=200))
    assert browser.put(**{f"key{number}": number for number in range(10)}).status == 413
    assert not inner._entries
    assert browser.put(a=1).status == 200
    assert browser.put(b="x" * 90).status == 200
    browser.visit(lambda session: current_session.renew("a" * 40))
    assert inner.keys_of("a" * 40) == []


# ---- a node without keys


@pytest.mark.parametrize("step", [Encryption.WRITE, Encryption.REQUIRE])
def test_a_node_without_keys_can_only_end_an_encrypted_session(inner: MemoryStore, step: Encryption) -> None:
    browser = logged_in(node(step, inner), n=1)
    away = browser.at(node(None, inner))
    before = {key: dict(entry.fields) for key, entry in inner._entries.items()}
    views: list[View] = [
        dict,
        lambda session: current_session.mutate("n", lambda n: n + 1),
        lambda session: session.update(n=2),  # without a read
        lambda session: current_session.touch(),
        lambda session: current_session.renew("bob"),
        lambda session: current_session.reload(),
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
def test_a_login_is_refused_where_another_node_writes_with_an_unknown_key(
    inner: MemoryStore, store: Callable[[MemoryStore], Store]
) -> None:
    mine, writing = Browser(application(store(inner))), application(EncryptedStore(inner, [SECRET, OLD]))
    mine.put(cart=[1], x=2)
    with mine.request() as (session, answer):
        assert session["cart"] == [1]
        mine.at(writing).put(theme="dark", x=3)
        session["y"] = 3
        current_session.renew("alice")
    assert answer.status == 503
    (left,) = inner._entries.values()
    assert (left.owner, set(left.fields)) == (None, {"cart", "theme", "x", "y"})


# ---- nodes of two steps beside each other


@pytest.mark.parametrize("steps", list(pairwise(STEPS)))
def test_nodes_of_adjacent_steps_share_their_sessions(inner: MemoryStore, steps: tuple[Step, Step]) -> None:
    one, other = (node(step, inner) for step in steps)
    for home, away in ((one, other), (other, one)):
        browser = logged_in(home, n=1, **{"~owner": 1})
        abroad = browser.at(away)

        def change(session: SessionData) -> None:
            current_session.mutate("n", lambda n: n + 1)
            session["~owner"] += 1
            current_session.max_age = 500

        assert abroad.visit(change).status == 200
        assert browser.read() == ("alice", {"n": 2, "~owner": 2})
        assert browser.visit(lambda session: current_session.max_age).value == 500
        assert [each.address for each in browser.users.of("alice")] == [""]
        assert abroad.put(blind=1).status == 200
        browser.visit(lambda session: current_session.renew())
        abroad.log_in("alice")
        assert browser.read() == ("alice", {"n": 2, "~owner": 2, "blind": 1})
        browser.visit(lambda session: session.clear())
        assert abroad.read() == (None, {})
        assert abroad.log_out().status == 200
        assert not inner._entries


def test_require_rejects_sessions_written_without_encryption(inner: MemoryStore) -> None:
    """So it must wait for the absolute timeout."""
    reading, requiring = node(Encryption.READ, inner), node(Encryption.REQUIRE, inner)
    browser = logged_in(requiring, n=1)
    assert browser.at(reading).visit(lambda session: current_session.mutate("n", lambda n: n + 1)).value == 2
    assert browser.read() == (None, {})
    assert logged_in(reading).at(requiring).read() == (None, {})
