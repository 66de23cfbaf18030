"""A write that waits for replicas is at a replica when it returns, and no failover loses it; otherwise it fails."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from deploy.redis.config import NAME
from nodes.sessions import Budgets, Changes, Outage, OutagePolicy, Outcome, RedisStore, SessionMark, StoreUnavailable
from nodes.sessions.stores.redis import Durability
from tests.support.records import HOUR, KEY, OTHER, load
from tests.support.redis_stores import OpenStore
from tests.support.several import SeveralServers
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until
from tests.support.writers import Writers

BUDGETS = Budgets(5, 1, retries=0, deadline=5)
EVERY_WRITE = {"durability": Durability.EVERY_WRITE, "replicas": 1}
REVOCATIONS = {"durability": Durability.REVOCATIONS, "replicas": 1}
IN_FAILOVER = Budgets(0.5, 0.5, retries=1, deadline=2)
POLICIES = [OutagePolicy(Outage.FAIL_FAST), OutagePolicy(Outage.WAIT, seconds=20)]
PAUSES = [random.Random(seed).uniform(0.5, 3.0) for seed in range(6)]


class Pair:
    """A primary and its replica, connected."""

    def __init__(self) -> None:
        self.primary = Valkey("--repl-diskless-sync-delay", "0")
        self.replica = Valkey("--replicaof", "127.0.0.1", str(self.primary.port))
        wait_until(self.is_connected)

    def is_connected(self) -> bool:
        with self.replica.client() as client:
            return bool(client.info("replication")["master_link_status"] == "up")

    def is_replicated(self, key: str, prefix: str = "session:") -> bool:
        with self.replica.client() as client:
            return bool(client.exists(f"{prefix}{{{key}}}"))

    def close(self) -> None:
        self.replica.close()
        self.primary.close()


def make_pair() -> Iterator[Pair]:
    with closing(Pair()) as made:
        yield made


own_pair = pytest.fixture(make_pair)
shared_pair = pytest.fixture(make_pair, scope="module")


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    with shared_pair.primary.client() as client:
        client.flushdb()
        client.wait(1, 5000)
    return shared_pair


def test_every_write_that_returns_is_is_replicated(pair: Pair, open_store: OpenStore) -> None:
    store = open_store(pair.primary, BUDGETS, **EVERY_WRITE)
    for number in range(50):
        key = f"{number:064x}"
        assert store.create(key, {}, "alice", HOUR) is not None
        assert pair.is_replicated(key)
    assert store.update(key, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
    with pair.replica.client() as client:
        assert client.hget(f"session:{{{key}}}", "a") == b"1"
    assert store.retire(key, SessionMark(b"next"), load(store, key)) is Outcome.APPLIED
    assert not pair.is_replicated(key)
    assert pair.is_replicated(key, "session:ended:")


def test_every_write_is_unknown_while_the_replica_is_silent_and_reads_go_on(pair: Pair, open_store: OpenStore) -> None:
    store = open_store(pair.primary, BUDGETS, **EVERY_WRITE)
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    with pair.replica.paused():
        with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
        with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
            store.create(OTHER, {}, "alice", HOUR)
        assert load(store).fields["a"] == b"2"  # the primary has it, and only that is known
        assert store.keys_of("alice") == [KEY, OTHER]
        # Without a write there is nothing to wait for.
        assert store.update(KEY, Changes({"a": b"3"}, expect={"a": b"x"}), HOUR) is Outcome.CONFLICT
        assert store.update("c" * 64, Changes({"a": b"3"}), HOUR) is Outcome.ABSENT
        assert store.create(KEY, {}, None, HOUR) is None


def test_with_revocations_only_the_end_of_a_session_waits(pair: Pair, open_store: OpenStore) -> None:
    store = open_store(pair.primary, BUDGETS, **REVOCATIONS)
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    with pair.replica.paused():
        assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
        assert store.create(OTHER, {}, "alice", HOUR) is not None
        with pytest.raises(StoreUnavailable, match="unknown"):
            store.retire(KEY, SessionMark())
    wait_until(lambda: pair.is_replicated(OTHER))
    assert store.retire(OTHER, SessionMark()) is Outcome.APPLIED
    assert not pair.is_replicated(OTHER)


def test_a_logout_that_is_tried_again_waits_again(pair: Pair, open_store: OpenStore) -> None:
    first, second = (open_store(pair.primary, BUDGETS, **REVOCATIONS) for _ in range(2))
    first.create(KEY, {}, None, HOUR)
    with pair.replica.paused():
        for store in (first, first, second):  # gone at the primary since the first; but at the replica it is not
            with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
                store.retire(KEY, SessionMark())
    assert second.retire(KEY, SessionMark()) is Outcome.ENDED
    assert not pair.is_replicated(KEY)
    with pair.primary.client() as client:
        assert not client.exists(f"session:{{{KEY}}}")


def test_the_primary_alone_suffices_where_no_more_was_asked_for(pair: Pair, open_store: OpenStore) -> None:
    store = open_store(pair.primary, BUDGETS, durability=Durability.PRIMARY)
    with pair.replica.paused():
        store.create(KEY, {}, "alice", HOUR)
        assert store.retire(KEY, SessionMark()) is Outcome.APPLIED


def test_waiting_stays_within_the_read_timeout(pair: Pair, open_store: OpenStore) -> None:
    store = open_store(pair.primary, Budgets(1, 0.3, retries=0, deadline=1), **EVERY_WRITE)
    store.ping()
    with pair.replica.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.create(KEY, {}, None, HOUR)
        assert 0.15 < time.monotonic() - started < 1


def test_writes_fail_without_the_replica_and_work_once_it_is_back(own_pair: Pair, open_store: OpenStore) -> None:
    store = open_store(own_pair.primary, Budgets(5, 0.5, retries=0, deadline=5), **EVERY_WRITE)
    store.create(KEY, {}, None, HOUR)
    own_pair.replica.kill()
    with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
        store.update(KEY, Changes(), HOUR)
    own_pair.replica.start()
    wait_until(own_pair.is_connected)
    assert open_store(own_pair.primary, BUDGETS, **EVERY_WRITE).update(KEY, Changes(), HOUR) is Outcome.APPLIED
    # The primary dies; the acknowledged write is at the replica.
    own_pair.primary.kill()
    with own_pair.replica.client() as client:
        client.replicaof("NO", "ONE")
    assert open_store(own_pair.replica, BUDGETS).load(KEY) is not None


@pytest.mark.parametrize(
    ("durability", "replicas"), [(Durability.EVERY_WRITE, 0), (Durability.REVOCATIONS, 0), (Durability.PRIMARY, -1)]
)
def test_a_durability_that_contradicts_the_replicas_is_refused(durability: Durability, replicas: int) -> None:
    with pytest.raises(ValueError, match="replicas"):
        RedisStore.from_url("redis://localhost", durability=durability, replicas=replicas)


@pytest.mark.parametrize(
    ("servers", "outage"),
    [("ha", POLICIES[0]), ("ha", POLICIES[1]), ("cluster", POLICIES[1])],
    ids=["ha-fail-fast", "ha-wait", "cluster-wait"],
    indirect=["servers"],
)
def test_a_primary_that_returns_once_it_was_replaced_loses_no_confirmed_write(
    servers: SeveralServers, open_store: OpenStore, outage: OutagePolicy
) -> None:
    seen = Writers(open_store(servers, IN_FAILOVER, outage=outage, **EVERY_WRITE)).run(lambda: replace_silent(servers))
    assert seen.wrong == []
    assert not (outage.waits and seen.failed)


def test_a_primary_that_returns_once_it_was_replaced_revives_no_session(
    ha: SeveralServers, open_store: OpenStore
) -> None:
    store = open_store(ha, IN_FAILOVER, **REVOCATIONS)
    keys = [f"{number:064x}" for number in range(300)]
    for key in keys:
        store.create(key, {}, None, HOUR)
    with ha.client() as client:
        client.wait(2, 5000)
    primary, ended = ha.store.primary(), list[str]()
    with ha.paused(primary):
        wait_until(lambda: ha.is_replaced(primary))
    for key in keys:
        try:
            store.delete(key)
            ended.append(key)
        except StoreUnavailable:
            continue
    wait_until(ha.store.is_settled)
    assert [key for key in ended if store.load(key) is not None] == []


def test_a_read_shows_no_logout_that_was_refused_by_a_replaced_primary(
    ha: SeveralServers, open_store: OpenStore
) -> None:
    reader = open_store(ha, IN_FAILOVER, **REVOCATIONS)
    # Each goes to the new primary after its first failure.
    writers = {f"{number:064x}": open_store(ha, BUDGETS, **REVOCATIONS) for number in range(10)}
    for key, writer in writers.items():
        writer.create(key, {}, None, HOUR)
    with ha.client() as client:
        client.wait(2, 5000)
    reader.delete(OTHER)  # the server knows the script then
    primary, absent = ha.store.primary(), list[str]()
    with ha.paused(primary):
        wait_until(lambda: ha.is_replaced(primary))
    for key, writer in writers.items():
        with suppress(StoreUnavailable):
            writer.delete(key)
        with suppress(StoreUnavailable):
            if reader.load(key) is None:
                absent.append(key)
    wait_until(ha.store.is_settled)
    assert [key for key in absent if reader.load(key) is not None] == []


def test_a_sentinel_that_falls_silent_in_its_failover_loses_no_confirmed_write(
    ha: SeveralServers, open_store: OpenStore
) -> None:
    """The others see the primary return, and a replica that still follows it confirms its writes."""
    store = open_store(ha, IN_FAILOVER, **EVERY_WRITE)
    store.create(KEY, {"a": b"1"}, None, HOUR)
    primary, is_confirmed = ha.store.primary(), True
    with ExitStack() as silent:
        with ha.paused(primary):
            wait_until(lambda: ha.is_replaced(primary))
            # Seldom there are two: one that lost the election speaks against the primary for some seconds more.
            leader = next(name for name in ha.redis.sentinels if "failover_in_progress" in flags(ha, name))
            silent.enter_context(ha.paused(leader))
        others = ha.redis.sentinels.keys() - {leader}
        wait_until(lambda: not any("s_down" in flags(ha, name) for name in others), "they reach the primary again")
        try:
            store.update(KEY, Changes({"a": b"2"}), HOUR)
        except StoreUnavailable:
            is_confirmed = False
    wait_until(ha.store.is_settled, "the failover has ended", 60)
    assert not is_confirmed or load(store).fields["a"] == b"2"


def flags(ha: SeveralServers, sentinel: str) -> set[str]:
    """Return what a Sentinel thinks of the primary."""
    state = ha.redis.ask(sentinel, "SENTINEL", "MASTER", NAME).split("\n")
    return set(state[state.index("flags") + 1].split(","))


def replace_silent(servers: SeveralServers) -> None:
    """Pause the primary until another server has taken over, which the other replica does not know yet."""
    primary = servers.store.primary()
    with servers.paused(primary):
        wait_until(lambda: servers.is_replaced(primary))
    wait_until(servers.store.is_settled)


@pytest.mark.nightly
@pytest.mark.parametrize("seconds", PAUSES, ids="{:.2f}".format)
def test_a_primary_that_pauses_for_any_time_loses_no_confirmed_write(
    ha: SeveralServers, open_store: OpenStore, seconds: float
) -> None:
    def silence() -> None:
        with ha.paused(ha.store.primary()):
            time.sleep(seconds)
        wait_until(ha.store.is_settled)

    seen = Writers(open_store(ha, IN_FAILOVER, outage=POLICIES[1], **EVERY_WRITE)).run(silence, after=2)
    assert (seen.failed, seen.wrong) == ([], [])


def test_a_write_is_unknown_without_sentinels_and_counts_once_they_answer(
    ha: SeveralServers, open_store: OpenStore
) -> None:
    store = open_store(ha, IN_FAILOVER, **EVERY_WRITE)
    store.create(KEY, {"a": b"0"}, None, HOUR)
    store.update(KEY, Changes({"a": b"1"}), HOUR)  # the server knows the script then
    with ha.paused("sentinel-1", "sentinel-2"):
        refusal = wait_until(lambda: refusal_of(store, Changes({"a": b"2"})), "the lease ends")
        assert "only 1 of 3 Sentinels reach the primary" in refusal
        assert load(store).fields["a"] == b"2"
    wait_until(ha.store.is_settled)
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED


def refusal_of(store: RedisStore, changes: Changes) -> str:
    """Return why the store refuses an update; empty where it does not."""
    try:
        store.update(KEY, changes, HOUR)
    except StoreUnavailable as error:
        return str(error)
    return ""


def test_one_silent_sentinel_of_three_refuses_no_write(ha: SeveralServers, open_store: OpenStore) -> None:
    store = open_store(ha, IN_FAILOVER, **EVERY_WRITE)
    with ha.paused("sentinel-1"):
        store.create(KEY, {"n": b"0"}, None, HOUR)
        until = time.monotonic() + 2  # more than two leases
        while time.monotonic() < until:
            assert store.update(KEY, Changes({"n": b"1"}), HOUR) is Outcome.APPLIED
