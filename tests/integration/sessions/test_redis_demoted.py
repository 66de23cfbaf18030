"""A primary that is one no more: it refuses writes by itself, and would go on answering reads with what it knew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import connection
from nodes.sessions.stores.redis.address import Resolver
from tests.support.records import HOUR, KEY, in_threads
from tests.support.valkey import Valkey, monitored
from tests.support.waiting import wait_until

BUDGETS = Budgets(5, 5, retries=1, deadline=5)


@pytest.fixture
def pair() -> Iterator[tuple[Valkey, Valkey]]:
    """Two servers that know nothing of each other."""
    one, two = Valkey(), Valkey()
    yield one, two
    one.close()
    two.close()


def copied(one: Valkey, two: Valkey) -> None:
    """What one has, two has as well, and is on its own again."""
    with two.client() as client:
        client.replicaof("127.0.0.1", str(one.port))
        wait_until(lambda: client.info("replication").get("master_link_status") == "up")
        client.replicaof("NO", "ONE")


def demote(server: Valkey) -> None:
    """It becomes the replica of somebody it can't reach, and keeps its connections: nothing reaches it any more."""
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")


def test_a_logout_at_the_new_primary_counts_within_a_second(pair: tuple[Valkey, Valkey]) -> None:
    one, two = pair
    node = RedisStore.from_url(one.url, BUDGETS)
    node.create(KEY, {"a": b"1"}, "alice", HOUR)
    for _ in range(3):
        assert node.load(KEY) is not None
    copied(one, two)
    demote(one)
    assert RedisStore.from_url(two.url, BUDGETS).delete(KEY) is not None
    ended, last = time.monotonic(), 0.0
    with pytest.raises(StoreUnavailable, match="a replica now"):
        while time.monotonic() - ended < 10:
            asked = time.monotonic()
            assert node.load(KEY) is not None  # it can't know, and must not call it absent either
            last = asked - ended
            time.sleep(0.01)
    assert last < connection.ROLE_INTERVAL + 0.5  # where nothing stalls it is less than the second
    with pytest.raises(StoreUnavailable):
        node.ping()
    with one.client() as client:
        client.replicaof("NO", "ONE")
    assert node.load(KEY) is not None
    node.close()


def test_a_demoted_primary_is_left_for_the_server_its_name_means_now() -> None:
    one = Valkey()
    two = Valkey(host="127.0.0.2", port=one.port)
    means = ["127.0.0.1"]
    node = RedisStore.from_url(f"redis://store.example:{one.port}/0", BUDGETS)
    pool = node._connections.pool  # type: ignore[attr-defined]
    pool.connection_kwargs["resolver"] = Resolver(lambda name, port: list(means))
    try:
        node.create(KEY, {"a": b"1"}, "alice", HOUR)
        in_threads(*(partial(node.load, KEY) for _ in range(8)))
        copied(one, two)
        demote(one)
        assert RedisStore.from_url(two.url, BUDGETS).update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
        means[:] = ["127.0.0.2"]

        def is_followed() -> bool:
            record = node.load(KEY)  # which fails at no time
            return record is not None and record.fields["a"] == b"2"

        wait_until(is_followed)
        assert all(is_followed() for _ in range(20))
    finally:
        node.close()
        one.close()
        two.close()


def test_sessions_shared_with_express_are_not_read_from_a_replica(pair: tuple[Valkey, Valkey]) -> None:
    one, _ = pair
    node = ExpressStore.from_url(one.url, BUDGETS)
    node.create("a" * 32, {}, "alice", HOUR)
    node.load("a" * 32)
    demote(one)

    def is_unavailable() -> bool:
        try:
            node.load("a" * 32)
        except StoreUnavailable:
            return True
        return False

    wait_until(is_unavailable)
    node.close()


def test_a_server_is_asked_its_role_once_a_second_unless_that_is_denied(server: Valkey) -> None:
    with server.client() as client:
        client.acl_setuser("deaf", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-role"])
        for url, asked in ((server.url, 1), (f"redis://deaf:p@127.0.0.1:{server.port}/0", 0)):
            node = RedisStore.from_url(url, BUDGETS)
            node.create(KEY, {}, None, HOUR)
            client.config_resetstat()
            until = time.monotonic() + connection.ROLE_INTERVAL / 2
            reads = 0
            while time.monotonic() < until:
                assert node.load(KEY) is not None
                reads += 1
            calls = client.info("commandstats").get("cmdstat_role", {"calls": 0})["calls"]
            assert (calls, reads > 5) == (asked, True)
            node.delete(KEY)
            node.close()
        client.acl_deluser("deaf")


def test_a_write_does_not_ask_the_role(server: Valkey) -> None:
    node = RedisStore.from_url(server.url, BUDGETS)
    node.ping()
    with server.client() as client:
        client.config_resetstat()
        with monitored(server) as sent:
            for number in range(20):
                node.create(f"{number:064x}", {}, None, HOUR)
        assert set(sent) == {"EVALSHA"}
        assert "cmdstat_role" not in client.info("commandstats")
        client.flushdb()
    node.close()
