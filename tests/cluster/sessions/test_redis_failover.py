"""A primary that is gone is found again, within the budgets; and what was acknowledged is there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from nodes.sessions import Budgets, Changes, Durability, Outage, OutagePolicy, RedisStore, StoreUnavailable
from nodes.sessions.stores.redis.connection import Command, ServerConnections
from tests.support.records import HOUR, KEY, load
from tests.support.several import SeveralServers
from tests.support.waiting import wait_until
from tests.support.writers import Writers

WAIT = OutagePolicy(Outage.WAIT, seconds=20)
BUDGETS = Budgets(0.5, 0.5, retries=1, deadline=2)


@pytest.fixture
def ha(sentinels: SeveralServers) -> Iterator[SeveralServers]:
    """Return the servers, complete before the test and repaired after it."""
    sentinels.mend()
    sentinels.client().flushdb()
    yield sentinels
    sentinels.mend()


@pytest.fixture
def waiting(ha: SeveralServers) -> Iterator[RedisStore]:
    made = RedisStore.from_url(ha.url, BUDGETS, durability=Durability.EVERY_WRITE, replicas=1, outage=WAIT)
    yield made
    made.close()


@pytest.fixture
def hasty(ha: SeveralServers) -> Iterator[RedisStore]:
    made = RedisStore.from_url(ha.url, BUDGETS, durability=Durability.EVERY_WRITE, replicas=1)
    yield made
    made.close()


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
            done = writers.done  # a primary that wakes up before the replicas have turned away can still confirm writes
            wait_until(lambda: writers.done > done + 100)

    seen = writers.run(silence)
    assert (seen.failed, seen.wrong) == ([], [])


def test_a_planned_failover_fails_no_operation_of_a_waiting_store(ha: SeveralServers) -> None:
    primary = ha.store.primary()
    store = RedisStore.from_url(ha.url, BUDGETS, outage=WAIT)
    seen = Writers(store).run(ha.store.failover)
    assert (seen.failed, seen.wrong) == ([], [])
    assert ha.store.primary() != primary
    assert seen.gap < 5
    store.close()


def test_a_planned_failover_fails_no_read_and_loses_nothing_that_was_acknowledged(ha: SeveralServers) -> None:
    store = RedisStore.from_url(ha.url, BUDGETS)
    reader = RedisStore.from_url(ha.url, BUDGETS)
    store.create(KEY, {"a": b"1"}, None, HOUR)
    stop, failed = threading.Event(), list[str]()

    def read() -> None:
        while not stop.is_set():
            try:
                assert reader.load(KEY) is not None
            except (StoreUnavailable, AssertionError) as error:
                failed.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    seen = Writers(store, number=2).run(ha.store.failover)
    stop.set()
    thread.join()
    assert (failed, seen.wrong) == ([], [])
    store.close()
    reader.close()


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_a_sentinel_that_is_gone_is_not_waited_for(ha: SeveralServers, how: str) -> None:
    store = RedisStore.from_url(ha.url, Budgets(5, 5, retries=0, deadline=5))
    if how == "dead":
        ha.kill("sentinel-1")
    with ha.paused("sentinel-1") if how == "silent" else contextlib.nullcontext():
        started = time.monotonic()
        store.ping()
        took = time.monotonic() - started
    assert took < 1.0
    store.close()


def test_a_store_that_knows_the_primary_needs_no_sentinel(ha: SeveralServers, hasty: RedisStore) -> None:
    hasty.ping()
    for number in (1, 2, 3):
        ha.kill(f"sentinel-{number}")
    hasty.ping()
    stranger = RedisStore.from_url(ha.url, BUDGETS)
    with pytest.raises(StoreUnavailable, match="no Sentinel knows the primary 'sessions'"):
        stranger.ping()
    stranger.close()


def test_a_demoted_primary_is_not_trusted(ha: SeveralServers, hasty: RedisStore) -> None:
    hasty.create(KEY, {"a": b"1"}, None, HOUR)
    primary = ha.store.primary()
    ha.store.failover()
    with ha.client_of(primary) as old:
        assert old.role()[0] == b"slave"
        old.config_set("replica-read-only", "no")
        old.hset(f"session:{{{KEY}}}", "a", "of old")
        record = load(hasty)
        assert record.fields["a"] == b"1"
        old.config_set("replica-read-only", "yes")
    hasty.update(KEY, Changes({"a": b"2"}), HOUR)


def test_the_nodes_user_needs_no_more_rights_than_it_has(ha: SeveralServers) -> None:
    for name, server in ha.servers.items():
        if server.role.value == "store":
            with ha.client_of(name) as client:
                denied = client.acl_log()
                assert [(entry["username"], entry["object"]) for entry in denied] == []


def test_an_operation_is_one_packet_as_with_one_server(ha: SeveralServers, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RedisStore.from_url(ha.url, BUDGETS)
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
        lambda: store.delete(KEY),
    ]
    for operation in operations:
        before = len(packets)
        operation()
        assert len(packets) == before + 1
    store.close()
