"""A Redis Cluster: a slot that moves is followed, a primary that dies is replaced, keys of all servers are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from redis.crc import key_slot

from deploy import StoreKind
from nodes.sessions import Changes, Durability, Outcome, RedisStore, SessionMark, StoreUnavailable
from nodes.sessions.stores.redis import scripts
from nodes.sessions.stores.redis.connection import Command, ServerConnections
from tests.cluster.sessions.test_redis_failover import BUDGETS, WAIT
from tests.support.records import HOUR, fields_of
from tests.support.redis_stores import OpenStore
from tests.support.several import SeveralServers
from tests.support.waiting import wait_until
from tests.support.writers import Writers


def key(number: int) -> str:
    return f"{number:064x}"


def test_a_waiting_store_sees_no_failure_when_a_primary_is_killed(
    cluster: SeveralServers, open_store: OpenStore
) -> None:
    primary = cluster.store.primary()
    # Acknowledged by the primary alone, a write may be lost with it, so lost writes are not compared.
    seen = Writers(open_store(cluster, BUDGETS, outage=WAIT), number=6).run(lambda: cluster.kill(primary))
    assert seen.failed == []
    assert cluster.store.primary() != primary
    assert 0.3 < seen.gap < 15


def test_a_fail_fast_store_goes_on_with_the_other_shards(cluster: SeveralServers, open_store: OpenStore) -> None:
    store = open_store(cluster, BUDGETS)
    careful = open_store(cluster, BUDGETS, durability=Durability.EVERY_WRITE, replicas=1)
    for number in range(60):
        assert careful.create(key(number), {}, "alice", HOUR) is not None
    cluster.kill(cluster.store.primary())
    assert sum(is_stored(store, number) for number in range(60)) >= 30
    wait_until(lambda: all(is_stored(store, number) for number in range(60)))
    assert len(store.keys_of("alice")) == 60


def is_stored(store: RedisStore, number: int) -> bool:
    try:
        return store.load(key(number)) is not None
    except StoreUnavailable:
        return False


def test_a_planned_failover_fails_no_operation(cluster: SeveralServers, open_store: OpenStore) -> None:
    primary = cluster.store.primary()
    seen = Writers(open_store(cluster, BUDGETS), number=6).run(cluster.store.failover)
    assert (seen.failed, seen.wrong) == ([], [])
    assert cluster.store.primary() != primary


@pytest.fixture
def clients() -> Iterator[tuple[SeveralServers, list[Any]]]:
    """A Redis Cluster of the test's own, and clients of its primaries."""
    with ExitStack() as stack:
        servers = stack.enter_context(closing(SeveralServers(StoreKind.REDIS_CLUSTER)))
        yield servers, [stack.enter_context(servers.client_of(f"store-{number}")) for number in (1, 2, 3)]


def test_a_slot_that_moves_is_followed(clients: tuple[SeveralServers, list[Any]], open_store: OpenStore) -> None:
    servers, primaries = clients
    store = open_store(servers, BUDGETS)
    assert store.create(key(1), {"a": b"1"}, "alice", HOUR) is not None
    slot = key_slot(b"{%s}" % key(1).encode())
    (owner,) = [client for client in primaries if client.cluster("countkeysinslot", slot)]
    other = next(client for client in primaries if client is not owner)
    owner_id, other_id = (client.cluster("myid").decode() for client in (owner, other))
    other.cluster("setslot", slot, "importing", owner_id)
    owner.cluster("setslot", slot, "migrating", other_id)
    # The session is at the other one already, which does not have the slot yet (ASK).
    for raw in owner.cluster("getkeysinslot", slot, 100):
        value, ttl = owner.dump(raw), owner.pttl(raw)
        with other.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")
            pipeline.restore(raw, ttl, value, replace=True)
            pipeline.execute()
        owner.delete(raw)
    assert fields_of(store, key(1))["a"] == b"1"
    # A write also touches its token, which is not there (TRYAGAIN): it has to wait until all is at one place.
    with pytest.raises(StoreUnavailable):
        store.update(key(1), Changes({"a": b"2"}), HOUR)
    # Now it has the slot (MOVED), and the store still knows the previous place.
    for client in (other, owner):
        client.cluster("setslot", slot, "node", other_id)
    assert store.update(key(1), Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    assert fields_of(store, key(1))["a"] == b"3"
    assert store.keys_of("alice") == [key(1)]
    assert store.count() == 1


def test_a_session_that_moves_while_the_servers_are_asked_is_listed(
    cluster: SeveralServers, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(cluster, BUDGETS)
    slots = {number: key_slot(b"{%s}" % key(number).encode()) for number in range(100)}
    first, new, *_ = (number for number, slot in slots.items() if slot < 5000)  # two on the first server,
    old = next(number for number, slot in slots.items() if slot > 12000)  # and one on the last
    store.create(key(first), {}, "alice", HOUR)
    store.delete(key(first))
    store.create(key(old), {}, "alice", HOUR)
    # The member of the new session has been written, and the session has not.
    store._client.run([store._index.insert_command("alice", key(new), HOUR, "")])
    asked = ServerConnections.execute

    def move_before(servers: ServerConnections, commands: Sequence[Command], *options: Any) -> list[Any]:
        if ("HGET", store._name(key(old)), "@") in commands:  # the first server has been asked for the new one
            monkeypatch.undo()
            create = scripts.CREATE.call((store._name(key(new)),), 600_000, 3_600_000, "alice", "")
            store._client.run([create])
            store.retire(key(old), SessionMark(b"next"))
        return asked(servers, commands, *options)

    monkeypatch.setattr(ServerConnections, "execute", move_before)
    assert store.keys_of("alice") == [key(new)]


def test_the_used_share_is_that_of_the_fullest_primary(servers: SeveralServers, open_store: OpenStore) -> None:
    store = open_store(servers, BUDGETS)
    before = store.used_share()
    assert before is not None
    with servers.client() as client:
        client.hset("filler", mapping={str(number): "x" * 1024 for number in range(5000)})
    used = store.used_share()
    assert used is not None
    assert 0.01 < used - before < 0.1
