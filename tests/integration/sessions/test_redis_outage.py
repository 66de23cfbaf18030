"""Requests that wait for a store: which of them, for how long, and that no write is applied twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis

from nodes.sessions import Budgets, Changes, Outage, OutagePolicy, Outcome, RedisStore, SessionMark, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import connection
from tests.support.records import HOUR, KEY, OTHER, PATIENT, during, load
from tests.support.redis_stores import OpenStore
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

HASTY = Budgets(0.1, 0.1, retries=0, deadline=0.2)


@pytest.fixture
def waiting(client: Any, server: Valkey, open_store: OpenStore) -> RedisStore:
    """A store that waits, at a server that knows the scripts."""
    return warm(open_store(server, outage=OutagePolicy(Outage.WAIT, 20)))


def warm(store: RedisStore) -> RedisStore:
    store.create(OTHER, {}, "bob", HOUR)
    store.update(OTHER, Changes({"a": b"1"}), HOUR)
    store.delete(OTHER)
    return store


@pytest.fixture
def lose_reply(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Loses the next reply: the server has executed the command, and the client does not know. Then calls `then`."""

    def lose(then: Callable[[], object] = lambda: None) -> None:
        def lose_one(*given: Any) -> Any:
            exchange(*given)
            monkeypatch.setattr(connection, "exchange", exchange)
            then()
            raise redis.ConnectionError("the reply is lost")

        exchange = connection.exchange  # type: ignore[attr-defined]
        monkeypatch.setattr(connection, "exchange", lose_one)

    return lose


def test_a_creation_whose_reply_is_lost_is_applied_once(waiting: RedisStore, lose_reply: Callable[..., None]) -> None:
    waiting.ping()
    lose_reply()
    created = waiting.create(KEY, {"a": b"1"}, "alice", HOUR)
    record = load(waiting)
    assert (record.created, record.fields, waiting.keys_of("alice")) == (created, {"a": b"1"}, [KEY])
    assert waiting.create(KEY, {}, None, HOUR) is None


def test_an_update_whose_reply_is_lost_is_applied_once(waiting: RedisStore, lose_reply: Callable[..., None]) -> None:
    waiting.create(KEY, {"n": b"1"}, None, HOUR)
    lose_reply()
    assert waiting.update(KEY, Changes({"n": b"2"}, expect={"n": b"1"}), HOUR) is Outcome.APPLIED
    assert waiting.update(KEY, Changes({"n": b"3"}, expect={"n": b"1"}), HOUR) is Outcome.CONFLICT


def test_an_update_that_is_repeated_overwrites_no_later_one(
    server: Valkey, waiting: RedisStore, open_store: OpenStore, lose_reply: Callable[..., None]
) -> None:
    other = open_store(server)
    waiting.create(KEY, {"n": b"1"}, None, HOUR)
    lose_reply(then=lambda: other.update(KEY, Changes({"n": b"9"}), HOUR))
    assert waiting.update(KEY, Changes({"n": b"2"}), HOUR) is Outcome.APPLIED
    assert load(waiting).fields["n"] == b"9"


def test_a_deletion_whose_reply_is_lost_is_repeated(waiting: RedisStore, lose_reply: Callable[..., None]) -> None:
    waiting.create(KEY, {"a": b"1"}, "alice", HOUR)
    lose_reply()
    waiting.delete(KEY)
    assert waiting.load(KEY) is None
    assert waiting.count() == 0


def test_a_retirement_whose_reply_is_lost_has_the_outcome_of_the_first(
    waiting: RedisStore, lose_reply: Callable[..., None]
) -> None:
    waiting.create(KEY, {"a": b"1"}, "alice", HOUR)
    lose_reply()
    assert waiting.retire(KEY, SessionMark(b"next"), load(waiting)) is Outcome.APPLIED
    assert waiting.retire(KEY, SessionMark()) is Outcome.ENDED
    assert waiting.load(KEY) == SessionMark(b"next")


def test_the_tokens_that_make_a_write_repeatable_expire_after_half_a_minute(waiting: RedisStore, client: Any) -> None:
    client.flushdb()
    waiting.create(KEY, {}, None, HOUR)
    waiting.update(KEY, Changes({"a": b"1"}), HOUR)
    waiting.delete(KEY)
    left = client.keys("*")
    assert len(left) == 2
    assert all(0 < client.pttl(name) <= 30_000 for name in left)


def test_without_waiting_no_write_is_sent_twice(
    server: Valkey, client: Any, open_store: OpenStore, lose_reply: Callable[..., None]
) -> None:
    store = open_store(server)
    store.create(KEY, {"n": b"1"}, None, HOUR)
    store.update(KEY, Changes({"n": b"1"}), HOUR)
    lose_reply()
    with pytest.raises(StoreUnavailable, match="the reply is lost"):
        store.update(KEY, Changes({"n": b"2"}), HOUR)
    assert [name.decode() for name in client.keys("*")] == [f"session:{{{KEY}}}"]


# ---- while the server is away


@pytest.fixture
def open_waiting(own: Valkey, open_store: OpenStore) -> Callable[..., RedisStore]:
    """Opens a store that waits for a server that the test kills."""
    return lambda seconds=20.0, most=100: warm(open_store(own, HASTY, outage=OutagePolicy(Outage.WAIT, seconds, most)))


def test_an_operation_during_an_outage_waits_for_the_server(
    own: Valkey, open_waiting: Callable[..., RedisStore]
) -> None:
    store = open_waiting()
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


def test_one_waiting_request_probes_and_the_others_wait_for_it(
    own: Valkey, open_waiting: Callable[..., RedisStore]
) -> None:
    store = open_waiting()
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


def test_no_request_waits_for_longer_than_the_policy_says(own: Valkey, open_waiting: Callable[..., RedisStore]) -> None:
    store = open_waiting(seconds=0.5)
    own.kill()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.load(KEY)
    assert 0.4 < time.monotonic() - started < 3


def test_no_more_requests_wait_than_the_policy_says(own: Valkey, open_waiting: Callable[..., RedisStore]) -> None:
    store = open_waiting(most=2)
    own.kill()
    results: list[str] = []

    def ping() -> None:
        try:
            store.ping()
            results.append("waited")
        except StoreUnavailable as error:
            results.append(str(error))

    with during(*[ping] * 5):
        wait_until(lambda: len(results) == 3)
        assert set(results) == {"2 requests wait for the store already"}
        own.start()
    assert results[3:] == ["waited", "waited"]


def test_an_express_write_waits_only_if_it_was_certainly_not_applied(
    own: Valkey, lose_reply: Callable[..., None]
) -> None:
    with closing(ExpressStore.from_url(own.url, PATIENT, outage=OutagePolicy(Outage.WAIT, 20))) as store:
        assert store.create("a" * 32, {"n": b"1"}, None, HOUR) is not None
        own.kill()
        ended: list[object] = []
        with during(lambda: ended.append(store.delete("a" * 32))):
            with pytest.raises(StoreUnavailable):
                store.ping_at_once()
            assert not ended
            own.start()
        assert ended == [None]
        lose_reply()
        with pytest.raises(StoreUnavailable, match="the reply is lost"):
            store.delete("b" * 32)


@pytest.mark.parametrize(("seconds", "most"), [(0, 1), (26, 1), (1, 0)])
def test_an_outage_policy_out_of_range_is_refused(seconds: float, most: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        OutagePolicy(Outage.WAIT, seconds, most)
