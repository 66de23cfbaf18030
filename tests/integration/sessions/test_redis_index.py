"""The index of a user's sessions: it heals, it is bounded, and it loses nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nodes.sessions import Lifetime, RedisStore
from nodes.sessions.stores.redis import scripts, user_index
from tests.support.harness import RedisHarness
from tests.support.records import HOUR, PATIENT
from tests.support.valkey import Valkey


def key(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def harness(server: Valkey) -> RedisHarness:
    made = RedisHarness(server)
    made.clear()
    return made


@pytest.fixture
def store(server: Valkey, harness: RedisHarness) -> Iterator[RedisStore]:
    made = RedisStore.from_url(server.url, PATIENT)
    yield made
    made.close()


@pytest.fixture
def client(server: Valkey) -> Iterator[Any]:
    with server.client() as made:
        yield made


def index_of(client: Any) -> bytes:
    (name,) = client.keys("session:of:*")
    return bytes(name)


def test_reading_the_index_removes_sessions_that_logged_out(
    store: RedisStore, harness: RedisHarness, client: Any
) -> None:
    for number in range(5):
        store.create(key(number), {}, "alice", HOUR)
    store.delete(key(2))
    assert client.zcard(index_of(client)) == 5
    harness.advance(61)
    assert store.keys_of("alice") == [key(0), key(1), key(3), key(4)]
    assert client.zcard(index_of(client)) == 4


def test_a_session_that_moves_between_the_two_readings_is_found(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(key(1), {}, "alice", HOUR)
    ask, moves = store._index._alive, [1]

    def moved_before(owner: str, members: Any) -> Any:
        for number in (moves.pop() for _ in moves[:]):
            store.create(key(number + 1), {}, "alice", HOUR)
            store.delete(key(number))
        return ask(owner, members)

    monkeypatch.setattr(store._index, "_alive", moved_before)
    assert store.keys_of("alice") == [key(2)]


def test_healing_the_index_keeps_a_session_that_is_being_created(store: RedisStore, client: Any) -> None:
    # The moment between the two halves of a login, seen by somebody who reads just then.
    store._client.run([store._index.insert_command("alice", key(1), HOUR, "")])
    assert store.keys_of("alice") == []
    assert client.zcard(index_of(client)) == 1
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
        most = max(most, client.zcard(index_of(client)))
    assert most <= user_index.PRUNE_SAMPLE + 2 * user_index.PRUNE_EVERY
    assert store.keys_of("alice") == [key(number) for number in range(20)]


def age(client: Any) -> None:
    """Makes every member of the index two minutes older, but expire no earlier."""
    name = index_of(client)
    for member, score in client.zrange(name, 0, -1, withscores=True):
        client.zrem(name, member)
        client.zadd(name, {member[:32] + (int.from_bytes(member[32:], "big") - 120).to_bytes(4, "big"): score})


def test_every_insertion_removes_what_expired(store: RedisStore, harness: RedisHarness, client: Any) -> None:
    for number in range(3):
        store.create(key(number), {}, "alice", Lifetime(60, 60))
    store.create(key(3), {}, "alice", HOUR)
    harness.advance(60 + user_index.MARGIN_MS / 1000 + 1)
    store.create(key(4), {}, "alice", HOUR)
    assert client.zcard(index_of(client)) == 2


def test_the_index_outlives_its_longest_session_and_not_by_much(store: RedisStore, client: Any) -> None:
    store.create(key(1), {}, "alice", HOUR)
    store.create(key(2), {}, "alice", Lifetime(60, 60))
    assert 3600 < client.ttl(index_of(client)) <= 3600 + user_index.MARGIN_MS / 1000


@pytest.mark.parametrize("owner", ["", "}{", "session:of:{x}", "a\r\nFLUSHALL", "é" * 10_000, "\ud800"])
def test_any_text_can_be_an_owner(store: RedisStore, client: Any, owner: str) -> None:
    store.create(key(1), {}, "somebody else", HOUR)
    if owner == "\ud800":  # no text that a session could hold, and none that finds anything
        assert store.keys_of(owner) == []
        return
    store.create(key(2), {}, owner, HOUR)
    assert store.keys_of(owner) == ([key(2)] if owner else [])
    assert store.keys_of("somebody else") == [key(1)]
    assert all(len(name) == len("session:of:{}") + 64 for name in client.keys("session:of:*"))


def test_an_index_entry_alone_does_not_prove_whose_a_session_is(
    store: RedisStore, harness: RedisHarness, client: Any
) -> None:
    store.create(key(1), {}, "bob", HOUR)
    store._client.run([store._index.insert_command("alice", key(1), HOUR, "")])
    client.set(store._name(key(2)), "no session", ex=60)
    store._client.run([store._index.insert_command("alice", key(2), HOUR, "")])
    assert store.keys_of("alice") == []
    assert store.keys_of("bob") == [key(1)]


def test_a_session_of_a_later_version_is_listed_so_that_it_can_be_ended(store: RedisStore, client: Any) -> None:
    store.create(key(1), {}, "alice", HOUR)
    client.hset(store._name(key(1)), "@", b"2:whatever")
    assert store.keys_of("alice") == [key(1)]
    store.delete(key(1))
    assert store.keys_of("alice") == []


def test_iterating_yields_all_sessions_and_nothing_else(server: Valkey, store: RedisStore, client: Any) -> None:
    for number in range(2500):
        client.hset(store._name(key(number)), "@", b"1:0::")
    strangers = ("session:x", "session:damaged:{x}", "other:{x}", "xsession:{x}", b"session:{\xff}", "session:{x}")
    for other in (*strangers, f"session:{{{key(1)[:-1]}g}}", f"session:{{{key(1)}}}}}", f"session:{{{key(1)}}}:x}}"):
        client.set(other, 1)
    store.create(key(3000), {}, "alice", HOUR)  # and its index
    assert set(store.keys()) == {key(number) for number in (*range(2500), 3000)}
    assert store.count() == 2501
    strange = RedisStore.from_url(server.url, PATIENT, prefix="s[e]*?\\")
    assert strange.count() == 0
    strange.create(key(1), {}, None, HOUR)
    assert list(strange.keys()) == [key(1)]
    strange.close()
