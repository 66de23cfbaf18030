"""A lost primary is replaced within the budgets, and no acknowledged write is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import pytest
import redis

from nodes.sessions import Budgets, Changes, Durability, Outage, OutagePolicy, RedisStore, SessionMark, StoreUnavailable
from nodes.sessions.stores.redis.connection import Command, ServerConnections
from tests.support.records import HOUR, KEY, during, load
from tests.support.redis_stores import OpenStore
from tests.support.several import SeveralServers
from tests.support.waiting import wait_until
from tests.support.writers import Writers

WAIT = OutagePolicy(Outage.WAIT, seconds=20)
BUDGETS = Budgets(0.5, 0.5, retries=1, deadline=2)


CAREFUL = {"durability": Durability.EVERY_WRITE, "replicas": 1}


@pytest.fixture
def waiting(ha: SeveralServers, open_store: OpenStore) -> RedisStore:
    return open_store(ha, BUDGETS, outage=WAIT, **CAREFUL)


@pytest.fixture
def hasty(ha: SeveralServers, open_store: OpenStore) -> RedisStore:
    return open_store(ha, BUDGETS, **CAREFUL)


def test_a_waiting_store_sees_no_failure_when_the_primary_is_killed(ha: SeveralServers, waiting: RedisStore) -> None:
    primary = ha.store.primary()
    seen = Writers(waiting).run(lambda: ha.kill(primary))
    assert (seen.failed, seen.wrong) == ([], [])
    assert ha.store.primary() != primary
    assert 0.3 < seen.gap < 15


def test_a_fail_fast_store_loses_no_acknowledged_write_when_the_primary_is_killed(
    ha: SeveralServers, hasty: RedisStore
) -> None:
    primary = ha.store.primary()
    seen = Writers(hasty).run(lambda: ha.kill(primary))
    assert seen.failed
    assert seen.wrong == []
    assert seen.gap < 15


def test_a_waiting_store_sees_no_failure_when_the_primary_falls_silent(ha: SeveralServers, waiting: RedisStore) -> None:
    primary = ha.store.primary()

    writers = Writers(waiting)

    def silence() -> None:
        with ha.paused(primary):
            wait_until(lambda: ha.store.primary() != primary)
            done = writers.done  # the previous primary could confirm writes if it woke up before its replicas left it
            wait_until(lambda: writers.done > done + 100)

    seen = writers.run(silence)
    assert (seen.failed, seen.wrong) == ([], [])


@pytest.mark.alone
def test_sentinels_that_were_silent_replace_a_primary_that_is_killed_soon_after(ha: SeveralServers) -> None:
    """A Sentinel that stood still for two seconds distrusts its clock, and takes part in no failover for a while."""
    logs, primary = [ha.servers[name].log for name in ("sentinel-1", "sentinel-2")], ha.store.primary()
    before = [log.read_text().count("+tilt") for log in logs]
    with ha.paused("sentinel-1", "sentinel-2"):
        time.sleep(2.5)
    wait_until(lambda: all(log.read_text().count("+tilt") > count for log, count in zip(logs, before, strict=True)))
    ha.kill(primary)
    wait_until(lambda: ha.store.primary() != primary, "another primary", timeout=15)


def test_a_planned_failover_fails_no_operation_of_a_waiting_store(ha: SeveralServers, open_store: OpenStore) -> None:
    primary = ha.store.primary()
    seen = Writers(open_store(ha, BUDGETS, outage=WAIT)).run(ha.store.failover)
    assert (seen.failed, seen.wrong) == ([], [])
    assert ha.store.primary() != primary
    assert seen.gap < 5


def test_a_planned_failover_fails_no_read_and_loses_no_write(ha: SeveralServers, open_store: OpenStore) -> None:
    writer, reader = open_store(ha, BUDGETS), open_store(ha, BUDGETS)
    writer.create(KEY, {"a": b"1"}, None, HOUR)
    stop, failed = threading.Event(), list[str]()

    def read() -> None:
        while not stop.is_set():
            try:
                assert reader.load(KEY) is not None
            except (StoreUnavailable, AssertionError) as error:
                failed.append(str(error))

    with during(read):
        seen = Writers(writer, number=2).run(ha.store.failover)
        stop.set()
    assert (failed, seen.wrong) == ([], [])


@pytest.mark.parametrize(
    ("servers", "name", "fault"),
    [("ha", "sentinel-1", "killed"), ("ha", "sentinel-1", "silent"), ("cluster", "store-4", "silent")],
    indirect=["servers"],
)
def test_a_silent_or_dead_server_delays_no_search(
    servers: SeveralServers, open_store: OpenStore, name: str, fault: str
) -> None:
    store = open_store(servers, Budgets(5, 5, retries=0, deadline=5))
    if fault == "killed":
        servers.kill(name)
    with servers.paused(name) if fault == "silent" else contextlib.nullcontext():
        started = time.monotonic()
        store.load(KEY)
        assert time.monotonic() - started < 1.0


def test_a_store_that_knows_the_primary_needs_no_sentinel(
    ha: SeveralServers, hasty: RedisStore, open_store: OpenStore
) -> None:
    hasty.ping()
    for number in (1, 2, 3):
        ha.kill(f"sentinel-{number}")
    hasty.ping()
    with pytest.raises(StoreUnavailable, match="no Sentinel knows the primary 'sessions'"):
        open_store(ha, BUDGETS).ping()


def test_a_cluster_that_does_not_answer_is_unavailable(cluster: SeveralServers, open_store: OpenStore) -> None:
    with pytest.raises(StoreUnavailable, match="no server of the cluster answers"):
        open_store(cluster.url.replace("127.0.0.1", "127.0.0.2"), BUDGETS).load(KEY)


def test_a_wrong_password_is_not_waited_for(cluster: SeveralServers, open_store: OpenStore) -> None:
    store = open_store(cluster.url.replace("node:", "node:x"), Budgets(5, 5, retries=1, deadline=5), outage=WAIT)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        store.load(KEY)
    assert isinstance(refused.value.__cause__, redis.AuthenticationError)
    assert time.monotonic() - started < 10


def test_a_demoted_primary_is_not_trusted(ha: SeveralServers, hasty: RedisStore) -> None:
    hasty.create(KEY, {"a": b"1"}, None, HOUR)
    primary = ha.store.primary()
    ha.store.failover()
    with ha.client_of(primary) as old:
        assert old.role()[0] == b"slave"
        old.config_set("replica-read-only", "no")
        old.hset(f"session:{{{KEY}}}", "a", "stale")
        assert load(hasty).fields["a"] == b"1"
        old.config_set("replica-read-only", "yes")
    hasty.update(KEY, Changes({"a": b"2"}), HOUR)


def test_the_user_of_the_nodes_was_denied_no_command(servers: SeveralServers) -> None:
    for name in servers.servers:
        if name.startswith("store"):
            with servers.client_of(name) as client:
                denied = [entry for entry in client.acl_log() if entry["reason"] != "auth"]
                assert [(entry["username"], entry["object"]) for entry in denied] == []


def test_an_operation_is_one_packet_as_with_one_server(
    ha: SeveralServers, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(ha, BUDGETS)
    store.create(KEY, {"a": b"1"}, "alice", HOUR)  # finds the primary, connects, loads the scripts
    store.update(KEY, Changes({"a": b"1"}), HOUR)
    store.delete(KEY)
    exchange, packets = ServerConnections._exchange, list[int]()

    def counted(self: ServerConnections, connection: object, commands: Sequence[Command]) -> list[object]:
        packets.append(len(commands))
        return exchange(self, connection, commands)

    monkeypatch.setattr(ServerConnections, "_exchange", counted)
    operations: list[Callable[[], object]] = [
        lambda: store.create(KEY, {"a": b"1"}, "alice", HOUR),
        lambda: store.load(KEY),
        lambda: store.update(KEY, Changes({"a": b"2"}), HOUR),
        store.ping,
        lambda: store.retire(KEY, SessionMark()),
    ]
    for operation in operations:
        packets.clear()
        operation()
        assert len(packets) == 1
