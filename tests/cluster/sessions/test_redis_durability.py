"""Durability: an acknowledged write is at the replicas, and any other write is reported as unknown."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from nodes.sessions.stores.redis import Durability
from tests.support.records import HOUR, KEY, OTHER, load
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

BUDGETS = Budgets(5, 1, retries=0, deadline=5)


class Pair:
    """A primary and its replica, in touch."""

    def __init__(self) -> None:
        self.primary = Valkey("--repl-diskless-sync-delay", "0")
        self.replica = Valkey("--replicaof", "127.0.0.1", str(self.primary.port))
        try:
            wait_until(self.in_touch)
        except BaseException:
            self.close()
            raise

    def in_touch(self) -> bool:
        with self.replica.client() as client:
            return bool(client.info("replication")["master_link_status"] == "up")

    def store(self, durability: Durability, replicas: int = 1, budgets: Budgets = BUDGETS) -> RedisStore:
        return RedisStore.from_url(self.primary.url, budgets, durability=durability, replicas=replicas)

    def at_the_replica(self, key: str) -> bool:
        with self.replica.client() as client:
            return bool(client.exists(f"session:{{{key}}}"))

    def close(self) -> None:
        self.replica.close()
        self.primary.close()


@pytest.fixture(scope="module")
def _pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    with _pair.primary.client() as client:
        client.flushdb()
        client.wait(1, 5000)
    return _pair


def test_every_write_that_returns_is_at_the_replica(pair: Pair) -> None:
    store = pair.store(Durability.EVERY_WRITE)
    for number in range(50):
        key = f"{number:064x}"
        assert store.create(key, {}, "alice", HOUR) is not None
        assert pair.at_the_replica(key)
    assert store.update(key, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
    with pair.replica.client() as client:
        assert client.hget(f"session:{{{key}}}", "a") == b"1"
    assert store.delete(key) is not None
    assert not pair.at_the_replica(key)
    store.close()


def test_every_write_is_unknown_while_the_replica_is_silent_and_reads_go_on(pair: Pair) -> None:
    store = pair.store(Durability.EVERY_WRITE)
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    with pair.replica.paused():
        with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
        with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
            store.create(OTHER, {}, "alice", HOUR)
        record = load(store)
        assert record.fields["a"] == b"2"  # the primary has it, and only that is known
        assert store.keys_of("alice") == [KEY, OTHER]
        # What wrote nothing has nothing to wait for.
        assert store.update(KEY, Changes({"a": b"3"}, expect={"a": b"x"}), HOUR) is Outcome.CONFLICT
        assert store.update("c" * 64, Changes({"a": b"3"}), HOUR) is Outcome.ABSENT
        assert store.create(KEY, {}, None, HOUR) is None
    store.close()


def test_with_revocations_only_the_end_of_a_session_waits(pair: Pair) -> None:
    store = pair.store(Durability.REVOCATIONS)
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    with pair.replica.paused():
        assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
        assert store.create(OTHER, {}, "alice", HOUR) is not None
        with pytest.raises(StoreUnavailable, match="unknown"):
            store.delete(KEY)
    wait_until(lambda: pair.at_the_replica(OTHER))
    assert store.delete(OTHER) is not None
    assert not pair.at_the_replica(OTHER)
    store.close()


def test_a_logout_that_is_tried_again_waits_again(pair: Pair) -> None:
    first, second = pair.store(Durability.REVOCATIONS), pair.store(Durability.REVOCATIONS)
    first.create(KEY, {}, None, HOUR)
    with pair.replica.paused():
        for store in (first, first, second):  # gone at the primary since the first; but at the replica it is not
            with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
                store.delete(KEY)
    assert second.delete(KEY) is None
    assert not pair.at_the_replica(KEY)
    with pair.primary.client() as client:
        assert not client.exists(f"session:{{{KEY}}}")
    first.close()
    second.close()


def test_the_primary_alone_suffices_where_no_more_was_asked_for(pair: Pair) -> None:
    store = pair.store(Durability.PRIMARY, replicas=0)
    with pair.replica.paused():
        store.create(KEY, {}, "alice", HOUR)
        assert store.delete(KEY) is not None
    store.close()


def test_waiting_stays_within_the_read_timeout(pair: Pair) -> None:
    store = pair.store(Durability.EVERY_WRITE, budgets=Budgets(1, 0.3, retries=0, deadline=1))
    store.ping()
    with pair.replica.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.create(KEY, {}, None, HOUR)
        assert 0.15 < time.monotonic() - started < 1
    store.close()


def test_writes_fail_without_the_replica_and_work_once_it_is_back() -> None:
    pair = Pair()
    try:
        store = pair.store(Durability.EVERY_WRITE, budgets=Budgets(5, 0.5, retries=0, deadline=5))
        store.create(KEY, {}, None, HOUR)
        pair.replica.kill()
        with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
            store.update(KEY, Changes(), HOUR)
        pair.replica.start()
        wait_until(pair.in_touch)
        patient = pair.store(Durability.EVERY_WRITE)
        assert patient.update(KEY, Changes(), HOUR) is Outcome.APPLIED
        # The primary dies; what was acknowledged is there.
        pair.primary.kill()
        with pair.replica.client() as client:
            client.replicaof("NO", "ONE")
        assert RedisStore.from_url(pair.replica.url, BUDGETS).load(KEY) is not None
        store.close()
        patient.close()
    finally:
        pair.close()


@pytest.mark.parametrize(
    ("durability", "replicas"), [(Durability.EVERY_WRITE, 0), (Durability.REVOCATIONS, 0), (Durability.PRIMARY, -1)]
)
def test_a_durability_that_contradicts_the_replicas_is_refused(durability: Durability, replicas: int) -> None:
    with pytest.raises(ValueError, match="replicas"):
        RedisStore.from_url("redis://localhost", durability=durability, replicas=replicas)
