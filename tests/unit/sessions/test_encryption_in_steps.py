"""Encryption is turned on, and off, step by step: two kinds of nodes that follow each other lose nothing.

A node without keys comes first; then one that reads encrypted values, one that writes them, one that demands them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sessions import EncryptedStore, Encryption, MemoryStore, Session, Sessions, Store, UnknownKey
from nodes.sessions.codec import OVERHEAD
from tests.integration.sessions.test_state_machine import VALUES
from tests.support.browser import Browser, View, application
from tests.support.harness import MemoryHarness
from tests.support.steps import ABSOLUTE, ADJACENT, SECRET, STEPS, Step, at, logged_in, named, node, raw, seen

OLD = b"o" * 32


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


# ---- a node without keys


@pytest.mark.parametrize("step", [Encryption.WRITE, Encryption.REQUIRE], ids=named)
def test_a_node_without_keys_can_only_end_an_encrypted_session(inner: MemoryStore, step: Encryption) -> None:
    home, away = node(step, inner), node(None, inner)
    browser = logged_in(home, n=1)
    before = {key: dict(entry.fields) for key, entry in inner._entries.items()}
    views: list[View] = [
        seen,
        lambda session: session.mutate("n", lambda n: n + 1),
        lambda session: session.update(n=2),  # without a read
        lambda session: session.touch(),
        lambda session: session.renew("bob"),
        lambda session: session.reload(),
    ]
    for view in views:
        answer = at(away, browser).visit(view)
        assert (answer.status, answer.set_cookie) == (503, None)
    users: Any = away.extensions["sessions"].users
    with pytest.raises(UnknownKey):
        users.of("alice")
    assert {key: dict(entry.fields) for key, entry in inner._entries.items()} == before
    assert browser.visit(seen).value == ("alice", {"n": 1})
    answer = at(away, browser).visit(lambda session: session.end())
    assert (answer.status, "Max-Age=0" in (answer.set_cookie or "")) == (200, True)
    assert not inner._entries


def test_a_corrupt_value_is_corrupt_for_a_node_without_keys_too(inner: MemoryStore) -> None:
    browser = Browser(node(None, inner))
    browser.visit(lambda session: session.update(n=1))
    (key,) = inner._entries
    raw(inner, key)["n"] = b"\xe1" * (OVERHEAD - 1)  # too short
    assert browser.visit(seen).value == (None, {})
    assert not inner._entries


@pytest.mark.parametrize(
    "store", [lambda inner: inner, lambda inner: EncryptedStore(inner, [OLD])], ids=["none", "another"]
)
def test_a_login_does_not_carry_over_values_of_an_unknown_key(
    inner: MemoryStore, store: Callable[[MemoryStore], Store]
) -> None:
    mine, writing = Browser(application(store(inner))), application(EncryptedStore(inner, [SECRET, OLD]))
    mine.visit(lambda session: session.update(cart=[1], x=2))
    with mine.request() as (session, _):
        assert session["cart"] == [1]
        at(writing, mine).visit(lambda session: session.update(theme="dark", x=3))
        session["y"] = 3
        session.renew("alice")
    assert mine.visit(seen).value == ("alice", {"cart": [1], "x": 2, "y": 3})


# ---- two kinds of nodes beside each other


@pytest.mark.parametrize("steps", ADJACENT, ids=named)
def test_nodes_of_adjacent_steps_share_their_sessions(inner: MemoryStore, steps: tuple[Step, Step]) -> None:
    one, other = (node(step, inner) for step in steps)
    for home, away in ((one, other), (other, one)):
        browser = logged_in(home, n=1, **{"~": 1, "~n": 1, "~~n": 1, "~owner": 1, "_cookie": 1})
        abroad = at(away, browser)

        def change(session: Session) -> None:
            session.mutate("n", lambda n: n + 1)
            session["~owner"] += 1
            session["_cookie"] += 1
            session["~n"] += 1
            del session["~~n"]
            session.max_age = 500

        expected = {"n": 2, "~": 1, "~n": 2, "~owner": 2, "_cookie": 2}
        assert abroad.visit(change).status == 200
        assert browser.visit(seen).value == ("alice", expected)
        assert browser.visit(lambda session: session.max_age).value == 500
        sessions: Sessions = home.extensions["sessions"]
        assert sessions.users is not None
        assert [each.address for each in sessions.users.of("alice")] == [""]
        assert abroad.visit(lambda session: session.update(blind=1)).status == 200
        browser.visit(lambda session: session.renew())
        abroad.visit(lambda session: session.renew("bob"))
        assert browser.visit(seen).value == ("bob", expected | {"blind": 1})
        browser.visit(lambda session: (session.pop("blind"), session.clear()))
        assert abroad.visit(seen).value == ("bob", {})
        assert at(away, browser).visit(lambda session: session.end()).status == 200
        assert not inner._entries


def test_require_rejects_sessions_written_without_encryption(inner: MemoryStore) -> None:
    """Which is why it waits for the absolute timeout."""
    reading, demanding = node(Encryption.READ, inner), node(Encryption.REQUIRE, inner)
    browser = logged_in(demanding, n=1)
    assert at(reading, browser).visit(lambda session: session.mutate("n", lambda n: n + 1)).value == 2
    assert browser.visit(seen).value == (None, {})
    assert at(demanding, logged_in(reading)).visit(seen).value == (None, {})


# ---- all the way


Content = tuple[str | None, dict[str, Any]]

DOINGS: dict[str, Callable[[str, Any], View]] = {
    "write": lambda key, value: lambda session: (session.get(key), session.update({key: value})),
    "write without reading": lambda key, value: lambda session: session.update({key: value}),
    "count": lambda key, value: lambda session: session.mutate("count", lambda n: n + 1, default=0),
    "pop": lambda key, value: lambda session: session.pop(key, None),
    "login": lambda key, value: lambda session: session.renew("alice"),
    "rotate": lambda key, value: lambda session: session.renew(),
    "logout": lambda key, value: lambda session: session.end(),
}
DOING = st.tuples(
    st.integers(0, 1), st.sampled_from(list(DOINGS)), st.sampled_from(["n", "cart", "~n", "~owner"]), VALUES
)


def after(
    what: str, key: str, value: Any, owner: str | None, data: dict[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """What a session is, by the book."""
    if what == "logout":
        return None, {}
    if what.startswith("write"):
        return owner, {**data, key: value}
    if what == "count":
        return owner, {**data, "count": data.get("count", 0) + 1}
    if what == "pop":
        return owner, {name: kept for name, kept in data.items() if name != key}
    return ("alice" if what == "login" else owner), data


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["forward", "back"]) | DOING, max_size=30))
def test_a_session_behaves_as_a_mapping_through_all_steps_of_encryption(course: list[Any]) -> None:
    harness = MemoryHarness()
    apps = [node(step, harness.store) for step in STEPS]
    pair, browser = 0, Browser(apps[0])
    model: Content = (None, {})
    for doing in course:
        if isinstance(doing, str):
            target = min(max(pair + (1 if doing == "forward" else -1), 0), 2)
            if pair == 1 and target != 1:  # what nobody writes any more has to be gone then
                harness.advance(ABSOLUTE + 1)
                model = (None, {})
            pair = target
            continue
        which, what, key, value = doing
        assert at(apps[pair + which], browser).visit(DOINGS[what](key, value)).status == 200
        model = after(what, key, value, *model)
        for app in apps[pair : pair + 2]:
            assert at(app, browser).visit(seen).value == model
