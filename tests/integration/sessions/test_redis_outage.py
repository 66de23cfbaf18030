"""Waiting for a store: who waits and how long, and that nothing is applied twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from nodes.sessions import Budgets, Changes, Outage, OutagePolicy, Outcome, RedisStore, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import connection
from tests.support.records import HOUR, KEY, OTHER, PATIENT, during, load
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

HASTY = Budgets(0.1, 0.1, retries=0, deadline=0.2)


def waiting(server: Valkey, budgets: Budgets = PATIENT, seconds: float = 20, most: int = 100) -> RedisStore:
    """Connected, at a server that knows the scripts: what is lost later is the answer to what was done."""
    store = RedisStore.from_url(server.url, budgets, outage=OutagePolicy(Outage.WAIT, seconds, most))
    store.create(OTHER, {}, "bob", HOUR)
    store.update(OTHER, Changes({"a": b"1"}), HOUR)
    store.delete(OTHER)
    return store


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A server that a test may ill-treat; what it had is there after a restart."""
    made = Valkey("--appendonly", "yes", "--appendfsync", "always")
    yield made
    made.close()


class LostAnswer:
    """The next answer to a script is lost on its way: the server has done it, and nobody knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answer = connection._read_reply
        self._armed = False
        monkeypatch.setattr(connection, "_read_reply", self._once)

    def lose(self) -> None:
        self._armed = True

    def _once(self, connection: Any) -> Any:
        answer = self._answer(connection)
        if self._armed:
            self._armed = False
            raise redis.ConnectionError("the answer is lost")
        return answer


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> LostAnswer:
    return LostAnswer(monkeypatch)


def test_a_creation_whose_answer_is_lost_is_done_once(server: Valkey, answer: LostAnswer) -> None:
    server.client().flushdb()
    store = waiting(server)
    store.ping()
    answer.lose()
    created = store.create(KEY, {"a": b"1"}, "alice", HOUR)
    record = load(store)
    assert (record.created, record.fields, store.keys_of("alice")) == (created, {"a": b"1"}, [KEY])
    assert store.create(KEY, {}, None, HOUR) is None
    store.close()


def test_an_update_whose_answer_is_lost_is_done_once(server: Valkey, answer: LostAnswer) -> None:
    server.client().flushdb()
    store = waiting(server)
    store.create(KEY, {"n": b"1"}, None, HOUR)
    answer.lose()
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": b"1"}), HOUR) is Outcome.APPLIED
    assert store.update(KEY, Changes({"n": b"3"}, expect={"n": b"1"}), HOUR) is Outcome.CONFLICT
    store.close()


def test_an_update_that_is_repeated_leaves_alone_what_was_written_since(server: Valkey, monkeypatch: Any) -> None:
    server.client().flushdb()
    store, other = waiting(server), RedisStore.from_url(server.url, PATIENT)
    store.create(KEY, {"n": b"1"}, None, HOUR)
    read = connection._read_reply
    calls: list[int] = []

    def lost_and_overtaken(connection: Any) -> Any:
        got = read(connection)
        calls.append(1)
        if len(calls) == 1:
            assert other.update(KEY, Changes({"n": b"9"}), HOUR) is Outcome.APPLIED
            raise redis.ConnectionError("the answer is lost")
        return got

    monkeypatch.setattr(connection, "_read_reply", lost_and_overtaken)
    assert store.update(KEY, Changes({"n": b"2"}), HOUR) is Outcome.APPLIED
    record = load(store)
    assert record.fields["n"] == b"9"
    store.close()
    other.close()


def test_a_logout_whose_answer_is_lost_still_says_what_it_ended(server: Valkey, answer: LostAnswer) -> None:
    server.client().flushdb()
    store = waiting(server)
    store.create(KEY, {"a": b"1", "@ttl": b"2"}, "alice", HOUR)
    answer.lose()
    ended = store.delete(KEY)
    assert ended is not None
    assert (ended.fields, ended.owner) == ({"a": b"1", "@ttl": b"2"}, "alice")
    assert 590 < ended.ttl <= 600
    assert store.load(KEY) is None
    assert store.delete(KEY) is None
    assert store.count() == 0
    store.close()


def test_the_token_of_a_repeatable_write_expires_after_half_a_minute(server: Valkey) -> None:
    client: Any = server.client()
    store = waiting(server)
    client.flushdb()
    store.create(KEY, {}, None, HOUR)
    store.update(KEY, Changes({"a": b"1"}), HOUR)
    store.delete(KEY)
    left = client.keys("*")
    assert len(left) == 3
    assert all(0 < client.pttl(name) <= 30_000 for name in left)
    store.close()


def test_without_waiting_nothing_is_sent_twice(server: Valkey, answer: LostAnswer) -> None:
    client: Any = server.client()
    client.flushdb()
    store = RedisStore.from_url(server.url, PATIENT)
    store.create(KEY, {"n": b"1"}, None, HOUR)
    store.update(KEY, Changes({"n": b"1"}), HOUR)
    answer.lose()
    with pytest.raises(StoreUnavailable, match="the answer is lost"):
        store.update(KEY, Changes({"n": b"2"}), HOUR)
    assert [name.decode() for name in client.keys("*")] == [f"session:{{{KEY}}}"]
    store.close()


def test_an_operation_during_an_outage_waits_for_the_server(own: Valkey) -> None:
    store = waiting(own, HASTY)
    store.create(KEY, {"n": b"0"}, None, HOUR)
    own.kill()
    results: list[object] = []
    calls: list[Callable[[], object]] = [
        lambda: store.load(KEY),
        lambda: store.update(KEY, Changes({"a": b"1"}), HOUR),
        lambda: store.create(OTHER, {}, "alice", HOUR),
        lambda: store.keys_of("alice"),
        *([lambda: store.load(KEY)] * 20),
    ]
    with during(*(lambda call=call: results.append(call()) for call in calls)):
        with pytest.raises(StoreUnavailable):
            store.ping_at_once()
        assert not results
        own.start()
    assert len(results) == len(calls)
    assert Outcome.APPLIED in results
    store.close()


def test_one_waiting_operation_asks_for_the_server_and_the_others_wait_for_it(own: Valkey) -> None:
    store = waiting(own, HASTY)
    store.ping()
    own.kill()
    attempts: list[float] = []
    executor = store._connections
    execute = executor.execute
    executor.execute = lambda *given: (attempts.append(time.monotonic()), execute(*given))[1]  # type: ignore[method-assign]
    started = time.monotonic()
    with during(*[store.ping] * 30):
        wait_until(lambda: len(attempts) > 40)
        assert time.monotonic() - started > 0.3  # each its first, and then one every 50 ms
        own.start()
    store.close()


def test_no_operation_waits_for_longer_than_the_bound(own: Valkey) -> None:
    store = waiting(own, HASTY, seconds=0.5)
    store.ping()
    own.kill()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.load(KEY)
    assert 0.4 < time.monotonic() - started < 3
    store.close()


def test_no_more_operations_wait_than_the_bound(own: Valkey) -> None:
    store = waiting(own, HASTY, seconds=20, most=2)
    store.ping()
    own.kill()
    results: list[str] = []

    def ping() -> None:
        try:
            store.ping()
            results.append("held")
        except StoreUnavailable as error:
            results.append(str(error))

    with during(*[ping] * 5):
        wait_until(lambda: len(results) == 3)
        assert set(results) == {"2 requests wait for the store already"}
        own.start()
    assert results[3:] == ["held", "held"]
    store.close()


def test_an_express_write_waits_only_if_it_was_certainly_not_applied(own: Valkey, answer: LostAnswer) -> None:
    store = ExpressStore.from_url(own.url, PATIENT, outage=OutagePolicy(Outage.WAIT, 20))
    assert store.create("a" * 32, {"n": b"1"}, None, HOUR) is not None
    own.kill()
    done: list[object] = []
    with during(lambda: done.append(store.delete("a" * 32))):
        own.start()
    assert done != [None]
    answer.lose()
    with pytest.raises(StoreUnavailable, match="the answer is lost"):
        store.delete("b" * 32)
    store.close()


@pytest.mark.parametrize(("seconds", "most"), [(0, 1), (26, 1), (1, 0)])
def test_an_outage_policy_out_of_range_is_refused(seconds: float, most: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        OutagePolicy(Outage.WAIT, seconds, most)
