"""Counters lie in the store of the sessions and are none: nobody lists, counts or ends them; on every store."""

from __future__ import annotations

import hashlib
import re

import pytest

from nodes.sessions import (
    Changes,
    Iterable,
    Lifetime,
    ListsByUser,
    Outcome,
    Sessions,
    Store,
    Sweepable,
    Sweeper,
    counter_key,
    find_capability,
)
from nodes.sessions.counters import is_counter
from nodes.sessions.options import SessionOptions
from tests.support.harness import Harness

HOUR = Lifetime(idle=600, absolute=3600)
COUNTER = counter_key("guesses", "alice")
SESSION = "a" * 64


@pytest.fixture
def harness(harness: Harness) -> Harness:
    """For stores whose fields can't be any bytes, one that makes them so."""
    made: Harness = getattr(harness, "of_bytes", lambda: harness)()
    return made


def count_up(store: Store, key: str = COUNTER) -> None:
    assert store.create(key, {"one": b"1"}, None, HOUR) is not None


def test_a_counter_is_kept_bounded_and_expires_as_a_session_does(harness: Harness) -> None:
    store = harness.store
    count_up(store)
    assert store.create(COUNTER, {"one": b"1"}, None, HOUR) is None
    assert store.update(COUNTER, Changes({"two": b"1"}), HOUR) is Outcome.APPLIED
    assert store.update(COUNTER, Changes({"six": b"1"}, max_bytes=9), HOUR) is Outcome.TOO_LARGE
    assert store.update(COUNTER, Changes(delete=frozenset({"one"})), HOUR) is Outcome.APPLIED
    record = store.load(COUNTER)
    assert record is not None
    assert record.fields == {"two": b"1"}
    harness.advance(601)
    assert store.load(COUNTER) is None


def test_it_is_neither_gone_through_nor_counted_nor_anybodys(store: Store) -> None:
    everyone = find_capability(store, Iterable)
    if everyone is None:
        pytest.skip("this store can't go through its sessions")
    for number in range(20):
        count_up(store, counter_key("guesses", str(number)))
    assert (everyone.count(), list(everyone.keys())) == (0, [])
    store.create(SESSION, {}, "alice", HOUR)
    assert (everyone.count(), list(everyone.keys())) == (1, [SESSION])
    if users := find_capability(store, ListsByUser):
        assert users.keys_of("alice") == [SESSION]


def test_it_outlives_the_end_of_everyone(store: Store) -> None:
    if find_capability(store, Iterable) is None:
        pytest.skip("this store can't go through its sessions")
    sessions = Sessions(store=store, options=SessionOptions(secrets=("s" * 32,)))
    count_up(store)
    store.create(SESSION, {}, "alice", HOUR)
    assert sessions.end_everyone() == 1
    assert store.load(SESSION) is None
    assert store.load(COUNTER) is not None


def test_it_is_swept_when_it_has_expired(harness: Harness) -> None:
    store = harness.store
    sweeper = find_capability(store, Sweepable)
    if sweeper is None:
        pytest.skip("nothing has to be swept in this store")
    for number in range(20):
        count_up(store, counter_key("guesses", str(number)))
    assert sweeper.sweep() == 0
    harness.advance(601)
    assert (sweeper.sweep(), sweeper.sweep()) == (20, 0)


def test_no_session_can_have_its_key_and_no_part_of_it_reaches_another() -> None:
    assert re.fullmatch(r"g[0-9a-f]{63}", COUNTER)
    assert is_counter(COUNTER)
    assert not is_counter(hashlib.sha256(b"an id").hexdigest())
    assert not is_counter("g" * 64)
    parts = [("a", "b"), ("ab",), ("a\0b",), ("a", "", "b"), ("b", "a"), ("\ud800",)]
    assert len({counter_key(*each) for each in parts}) == len(parts)


def test_that_one_expired_is_nobodys_news(harness: Harness) -> None:
    store = harness.store
    if find_capability(store, Sweepable) is None:
        pytest.skip("this store's server removes what expired")
    told: list[str] = []
    count_up(store)
    assert store.create(SESSION, {}, None, HOUR) is not None
    harness.advance(700)
    assert Sweeper(store, 60, lambda _, key: told.append(str(key))).sweep() == 2
    assert told == [store.cookie.hash_of(SESSION)]
