"""A Redis Cluster: a slot that moves is followed, a primary that dies is replaced, all sessions are gone through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from deploy import StoreKind
from nodes.sessions import (
    Budgets,
    Changes,
    Durability,
    Outage,
    OutagePolicy,
    Outcome,
    RedisStore,
    StoreUnavailable,
)
from tests.support.records import HOUR
from tests.support.several import SeveralServers
from tests.support.waiting import wait_until
from tests.support.writers import Writers

BUDGETS = Budgets(0.5, 0.5, retries=1, deadline=2)
WAIT = OutagePolicy(Outage.WAIT, seconds=20)


@pytest.fixture
def cluster(sharded: SeveralServers) -> Iterator[SeveralServers]:
    """Return the cluster, complete before the test and repaired after it."""
    sharded.mend()
    sharded.client().flushdb()
    yield sharded
    sharded.mend()


@pytest.fixture
def store(cluster: SeveralServers) -> Iterator[RedisStore]:
    made = RedisStore.from_url(cluster.url, BUDGETS)
    yield made
    made.close()


def key(number: int) -> str:
    return f"{number:064x}"


def slot_of(key: str) -> int:
    return key_slot(b"{%s}" % key.encode())


def test_a_waiting_store_sees_no_failure_when_a_primary_is_killed(cluster: SeveralServers) -> None:
    primary = cluster.store.primary()
    waiting = RedisStore.from_url(cluster.url, BUDGETS, outage=WAIT)
    # Acknowledged by the primary alone, a write may be lost with it, so what was lost is not looked at here.
    seen = Writers(waiting, number=6).run(lambda: cluster.kill(primary))
    assert seen.failed == []
    assert cluster.store.primary() != primary
    assert 0.3 < seen.gap < 15
    waiting.close()


def test_a_fail_fast_store_goes_on_with_the_other_shards(cluster: SeveralServers, store: RedisStore) -> None:
    careful = RedisStore.from_url(cluster.url, BUDGETS, durability=Durability.EVERY_WRITE, replicas=1)
    for number in range(60):
        assert careful.create(key(number), {}, "alice", HOUR) is not None
    careful.close()
    cluster.kill(cluster.store.primary())
    outcomes = {number: answers(store, number) for number in range(60)}
    assert len([None for fine in outcomes.values() if fine]) >= 30
    wait_until(lambda: all(answers(store, number) for number in range(60)))
    assert len(store.keys_of("alice")) == 60


def answers(store: RedisStore, number: int) -> bool:
    try:
        return store.load(key(number)) is not None
    except StoreUnavailable:
        return False


def test_a_planned_failover_fails_no_operation(cluster: SeveralServers, store: RedisStore) -> None:
    primary = cluster.store.primary()
    seen = Writers(store, number=6).run(cluster.store.failover)
    assert (seen.failed, seen.wrong) == ([], [])
    assert cluster.store.primary() != primary


@pytest.fixture
def own() -> Iterator[SeveralServers]:
    """A cluster whose slots a test may move."""
    servers = SeveralServers(StoreKind.REDIS_CLUSTER)
    yield servers
    servers.close()


def test_a_slot_that_moves_is_followed(own: SeveralServers) -> None:
    store = RedisStore.from_url(own.url, BUDGETS)
    clients = [own.client_of(f"store-{number}") for number in (1, 2, 3)]
    assert store.create(key(1), {"a": b"1"}, "alice", HOUR) is not None
    slot = slot_of(key(1))
    (owner,) = [client for client in clients if has(client, slot)]
    other = next(client for client in clients if client is not owner)
    ids = [client.cluster("myid").decode() for client in (owner, other)]
    other.cluster("setslot", slot, "importing", ids[0])
    owner.cluster("setslot", slot, "migrating", ids[1])
    # The session is at the other one already, which has not got the slot yet (ASK).
    for raw in owner.cluster("getkeysinslot", slot, 100):
        value, ttl = owner.dump(raw), owner.pttl(raw)
        with other.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")
            pipeline.restore(raw, ttl, value, replace=True)
            pipeline.execute()
        owner.delete(raw)
    assert field(store) == b"1"
    # A write also touches its token, which is not there (TRYAGAIN): it has to wait until all is at one place.
    with pytest.raises(StoreUnavailable):
        store.update(key(1), Changes({"a": b"2"}), HOUR)
    # Now it has the slot (MOVED), and the store knows the old place still.
    for client in (other, owner):
        client.cluster("setslot", slot, "node", ids[1])
    assert store.update(key(1), Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    assert field(store) == b"3"
    assert store.keys_of("alice") == [key(1)]
    assert store.count() == 1
    store.close()
    for client in clients:
        client.close()


def field(store: RedisStore) -> bytes | None:
    record = store.load(key(1))
    return None if record is None else record.fields["a"]


def has(client: Any, slot: int) -> bool:
    me = client.cluster("myid").decode()
    return any(first <= slot <= last and at[2].decode() == me for first, last, at, *_ in raw_slots(client))


def raw_slots(client: Any) -> Any:
    return client.execute_command("CLUSTER", "SLOTS")


def test_a_server_that_is_gone_is_not_waited_for(cluster: SeveralServers) -> None:
    store = RedisStore.from_url(cluster.url, Budgets(5, 5, retries=0, deadline=5))
    with cluster.paused("store-4"):
        started = time.monotonic()
        store.load(key(1))
        assert time.monotonic() - started < 1.0
    store.close()


def test_no_server_that_answers_is_unknown(cluster: SeveralServers) -> None:
    store = RedisStore.from_url(cluster.url.replace("127.0.0.1", "127.0.0.2"), BUDGETS)
    with pytest.raises(StoreUnavailable, match="no server of the cluster answers"):
        store.load(key(1))
    store.close()


def test_a_wrong_password_is_not_waited_for(cluster: SeveralServers) -> None:
    wrong = cluster.url.replace("node:", "node:x")
    store = RedisStore.from_url(wrong, Budgets(5, 5, retries=1, deadline=5), outage=WAIT)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        store.load(key(1))
    assert isinstance(refused.value.__cause__, redis.AuthenticationError)
    assert time.monotonic() - started < 10
    store.close()


def test_the_nodes_user_needs_no_more_rights_than_it_has(cluster: SeveralServers) -> None:
    for name in cluster.servers:
        with cluster.client_of(name) as client:
            denied = client.acl_log()
            assert [(entry["username"], entry["object"]) for entry in denied if entry["reason"] != "auth"] == []
