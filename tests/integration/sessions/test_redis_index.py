"""The index of a user's sessions: it heals, it is bounded, and it lacks no session."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.sessions import Lifetime, RedisStore
from nodes.sessions.stores.redis import scripts, user_index
from tests.support.harnesses.redis import RedisHarness
from tests.support.records import HOUR
from tests.support.redis_stores import OpenStore
from tests.support.valkey import Valkey


def key(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def store(server: Valkey, client: Any, open_store: OpenStore) -> RedisStore:
    return open_store(server)


def find_index(client: Any) -> bytes:
    (name,) = client.keys("session:of:*")
    return bytes(name)


def insert(store: RedisStore, owner: str, number: int) -> None:
    """Do the first half of a login: the index is written before the session."""
    store._client.run([store._index.insert_command(owner, key(number), HOUR, "")])


def test_reading_the_index_removes_sessions_that_logged_out(
    store: RedisStore, redis_harness: RedisHarness, client: Any
) -> None:
    for number in range(5):
        store.create(key(number), {}, "alice", HOUR)
    store.delete(key(2))
    assert client.zcard(find_index(client)) == 5
    redis_harness.advance(61)
    assert store.keys_of("alice") == [key(0), key(1), key(3), key(4)]
    assert client.zcard(find_index(client)) == 4


def test_a_session_that_gets_a_new_key_between_two_reads_is_listed(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(key(1), {}, "alice", HOUR)
    ask, moves = store._index._find_alive, [1]

    def moved_before(owner: str, members: Any) -> Any:
        for number in (moves.pop() for _ in moves[:]):
            store.create(key(number + 1), {}, "alice", HOUR)
            store.delete(key(number))
        return ask(owner, members)

    monkeypatch.setattr(store._index, "_find_alive", moved_before)
    assert store.keys_of("alice") == [key(2)]


def test_the_index_keeps_a_session_that_is_about_to_be_created(store: RedisStore, client: Any) -> None:
    insert(store, "alice", 1)
    assert store.keys_of("alice") == []
    assert client.zcard(find_index(client)) == 1
    store._client.run([scripts.CREATE.call((store._name(key(1)),), 600_000, 3_600_000, "alice", "")])
    assert store.keys_of("alice") == [key(1)]


def test_many_logins_and_logouts_leave_a_bounded_index(store: RedisStore, client: Any) -> None:
    most = 0
    for number in range(20):
        store.create(key(number), {}, "alice", HOUR)
    for number in range(1000, 2200):
        store.create(key(number), {}, "alice", HOUR)
        store.delete(key(number))
        if number % 60 == 0:
            age(client)
        most = max(most, client.zcard(find_index(client)))
    assert most <= user_index.PRUNE_SAMPLE + 2 * user_index.PRUNE_EVERY
    assert store.keys_of("alice") == [key(number) for number in range(20)]


def age(client: Any) -> None:
    """Make every member of the index two minutes older, without an earlier expiry."""
    name = find_index(client)
    for member, score in client.zrange(name, 0, -1, withscores=True):
        client.zrem(name, member)
        client.zadd(name, {member[:32] + (int.from_bytes(member[32:], "big") - 120).to_bytes(4, "big"): score})


def test_every_insertion_removes_what_expired(store: RedisStore, redis_harness: RedisHarness, client: Any) -> None:
    for number in range(3):
        store.create(key(number), {}, "alice", Lifetime(60, 60))
    store.create(key(3), {}, "alice", HOUR)
    redis_harness.advance(60 + user_index.MARGIN_MS / 1000 + 1)
    store.create(key(4), {}, "alice", HOUR)
    assert client.zcard(find_index(client)) == 2


def test_the_index_expires_a_minute_after_its_last_session(store: RedisStore, client: Any) -> None:
    store.create(key(1), {}, "alice", HOUR)
    store.create(key(2), {}, "alice", Lifetime(60, 60))
    assert 3600 < client.ttl(find_index(client)) <= 3600 + user_index.MARGIN_MS / 1000


@pytest.mark.parametrize("owner", ["", "}{", "session:of:{x}", "a\r\nFLUSHALL", "é" * 10_000, "\ud800"])
def test_any_text_can_be_an_owner(store: RedisStore, client: Any, owner: str) -> None:
    store.create(key(1), {}, "bob", HOUR)
    if owner == "\ud800":  # not text: no session can have it
        assert store.keys_of(owner) == []
        return
    store.create(key(2), {}, owner, HOUR)
    assert store.keys_of(owner) == ([key(2)] if owner else [])
    assert store.keys_of("bob") == [key(1)]
    assert all(len(name) == len("session:of:{}") + 64 for name in client.keys("session:of:*"))


def test_the_index_does_not_decide_to_whom_a_session_belongs(
    store: RedisStore, redis_harness: RedisHarness, client: Any
) -> None:
    store.create(key(1), {}, "bob", HOUR)
    insert(store, "alice", 1)
    client.set(store._name(key(2)), "no session", ex=60)
    insert(store, "alice", 2)
    assert store.keys_of("alice") == []
    assert store.keys_of("bob") == [key(1)]


def test_a_session_of_a_later_version_is_listed_and_can_be_ended(store: RedisStore, client: Any) -> None:
    store.create(key(1), {}, "alice", HOUR)
    client.hset(store._name(key(1)), "@", b"2:whatever")
    assert store.keys_of("alice") == [key(1)]
    store.delete(key(1))
    assert store.keys_of("alice") == []


def test_keys_yields_all_sessions_and_nothing_else(
    server: Valkey, store: RedisStore, client: Any, open_store: OpenStore
) -> None:
    for number in range(2500):
        client.hset(store._name(key(number)), "@", b"1:0::")
    strangers = ("session:x", "session:damaged:{x}", "other:{x}", "xsession:{x}", b"session:{\xff}", "session:{x}")
    for other in (*strangers, f"session:{{{key(1)[:-1]}g}}", f"session:{{{key(1)}}}}}", f"session:{{{key(1)}}}:x}}"):
        client.set(other, 1)
    store.create(key(3000), {}, "alice", HOUR)  # and its index
    assert set(store.keys()) == {key(number) for number in (*range(2500), 3000)}
    assert store.count() == 2501
    special = open_store(server, prefix="s[e]*?\\")
    assert special.count() == 0
    special.create(key(1), {}, None, HOUR)
    assert list(special.keys()) == [key(1)]
