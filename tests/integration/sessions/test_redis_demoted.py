"""A primary that was demoted refuses writes by itself, and would go on answering reads with old data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from nodes.sessions import Budgets, Changes, Outcome, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import connection
from tests.support.records import HOUR, KEY, fields_of, in_threads
from tests.support.redis_stores import OpenStore
from tests.support.valkey import Valkey, monitored
from tests.support.waiting import wait_until

BUDGETS = Budgets(5, 5, retries=1, deadline=5)


@pytest.fixture
def successor(own: Valkey) -> Iterator[Valkey]:
    """A second server, at the port of the first."""
    with closing(Valkey(host="127.0.0.2", port=own.port)) as made:
        yield made


def replace(primary: Valkey, successor: Valkey) -> None:
    """Copy the data, and demote the primary: it becomes the replica of a server that it can't reach."""
    with successor.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
        wait_until(lambda: client.info("replication").get("master_link_status") == "up")
        client.replicaof("NO", "ONE")
    demote(primary)


def demote(server: Valkey) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")


def test_a_logout_at_the_new_primary_ends_reads_from_the_old_within_a_second(
    own: Valkey, successor: Valkey, open_store: OpenStore
) -> None:
    node = open_store(own, BUDGETS)
    node.create(KEY, {"a": b"1"}, "alice", HOUR)
    for _ in range(3):
        assert node.load(KEY) is not None
    replace(own, successor)
    open_store(successor, BUDGETS).delete(KEY)
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
    with own.client() as client:
        client.replicaof("NO", "ONE")
    assert node.load(KEY) is not None


def test_a_demoted_primary_is_left_for_the_server_its_name_means_now(
    own: Valkey, successor: Valkey, open_store: OpenStore
) -> None:
    addresses = ["127.0.0.1"]
    node = open_store(f"redis://store.example:{own.port}/0", BUDGETS, lambda name, port: list(addresses))
    node.create(KEY, {"a": b"1"}, "alice", HOUR)
    in_threads(*(partial(node.load, KEY) for _ in range(8)))
    replace(own, successor)
    assert open_store(successor, BUDGETS).update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    addresses[:] = ["127.0.0.2"]
    wait_until(lambda: fields_of(node)["a"] == b"2")  # no read fails
    assert all(fields_of(node)["a"] == b"2" for _ in range(20))


def test_sessions_shared_with_express_are_not_read_from_a_replica(own: Valkey) -> None:
    with closing(ExpressStore.from_url(own.url, BUDGETS)) as node:
        node.create("a" * 32, {}, "alice", HOUR)
        node.load("a" * 32)
        demote(own)
        with pytest.raises(StoreUnavailable, match="a replica now"):
            wait_until(lambda: node.load("a" * 32) is None)


@pytest.mark.parametrize(("permission", "questions"), [("+role", 1), ("-role", 0)])
def test_a_server_is_asked_its_role_once_a_second_where_that_is_allowed(
    server: Valkey, open_store: OpenStore, permission: str, questions: int
) -> None:
    with server.client() as client:
        client.flushdb()
        client.acl_setuser("node", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", permission])
        node = open_store(f"redis://node:p@127.0.0.1:{server.port}/0", BUDGETS)
        node.create(KEY, {}, None, HOUR)
        client.config_resetstat()
        until = time.monotonic() + connection.ROLE_INTERVAL / 2
        reads = 0
        while time.monotonic() < until:
            assert node.load(KEY) is not None
            reads += 1
        calls = client.info("commandstats").get("cmdstat_role", {"calls": 0})["calls"]
        client.acl_deluser("node")
    assert (calls, reads > 5) == (questions, True)


def test_a_write_does_not_ask_for_the_role(server: Valkey, open_store: OpenStore) -> None:
    node = open_store(server, BUDGETS)
    node.ping()
    with server.client() as client:
        client.flushdb()
        client.config_resetstat()
        with monitored(server) as sent:
            for number in range(20):
                node.create(f"{number:064x}", {}, None, HOUR)
        assert set(sent) == {"EVALSHA"}
        assert "cmdstat_role" not in client.info("commandstats")
