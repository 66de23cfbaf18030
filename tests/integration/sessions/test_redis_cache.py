"""Reads from memory: never an ended session for longer than the message about it takes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nodes.sessions import Budgets, Changes, Lifetime, Outcome, Record, RedisStore, StoreUnavailable
from nodes.sessions.stores import redis_cache
from tests.support.node import eventually
from tests.support.valkey import Valkey, monitored

KEY, OTHER = "a" * 64, "b" * 64
RAW = f"session:{{{KEY}}}"
HOUR = Lifetime(600, 3600)
PATIENT = Budgets(5, 5, retries=0, deadline=5)


@pytest.fixture
def client(server: Valkey) -> Iterator[Any]:
    with server.client() as made:
        made.flushdb()
        yield made


@pytest.fixture
def node(server: Valkey, client: Any) -> Iterator[RedisStore]:
    """With a cache that knows one session."""
    made = RedisStore.from_url(server.url, PATIENT, cached_sessions=100)
    made.create(KEY, {"a": b"1"}, "alice", HOUR)
    eventually(lambda: is_known(server, made))
    yield made
    made.close()


@pytest.fixture
def elsewhere(server: Valkey) -> Iterator[RedisStore]:
    made = RedisStore.from_url(server.url, PATIENT)
    made.ping()
    yield made
    made.close()


def is_known(server: Valkey, node: RedisStore, key: str = KEY) -> bool:
    """Whether a read asks the server nothing."""
    with monitored(server) as sent:
        node.load(key)
    return not sent


def read(node: RedisStore, key: str = KEY) -> Record:
    record = node.load(key)
    assert record is not None
    return record


def test_a_session_that_nobody_changes_is_read_once(server: Valkey, node: RedisStore) -> None:
    with monitored(server) as sent:
        records = [read(node) for _ in range(50)]
    assert sent == []
    assert {(tuple(record.fields.items()), record.owner, record.created) for record in records} == {
        ((("a", b"1"),), "alice", records[0].created)
    }
    assert 590 < records[-1].ttl < records[0].ttl <= 600


def test_what_a_request_does_to_a_record_stays_in_the_request(node: RedisStore) -> None:
    read(node).fields["a"] = b"mine"  # type: ignore[index]
    assert read(node).fields == {"a": b"1"}


def test_own_writes_are_seen_at_once(node: RedisStore) -> None:
    for number in range(300):
        value = str(number).encode()
        assert node.update(KEY, Changes({"a": value}), HOUR) is Outcome.APPLIED
        assert read(node).fields == {"a": value}
    node.delete(KEY)
    assert node.load(KEY) is None


def test_own_writes_are_seen_before_the_server_says_so(node: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node._cache, "_listen", lambda now: None)
    node.update(KEY, Changes({"a": b"2"}), HOUR)
    assert read(node).fields == read(node).fields == {"a": b"2"}
    node.set_aside(KEY)
    assert node.load(KEY) is None


def test_changes_touches_and_logouts_elsewhere_are_seen(
    server: Valkey, node: RedisStore, elsewhere: RedisStore
) -> None:
    for number in range(50):
        value = str(number).encode()
        elsewhere.update(KEY, Changes({"a": value}), HOUR)
        eventually(lambda value=value: read(node).fields == {"a": value})  # type: ignore[misc]
    eventually(lambda: is_known(server, node))
    elsewhere.update(KEY, Changes(), Lifetime(900, 3600))
    eventually(lambda: read(node).ttl > 890)
    eventually(lambda: is_known(server, node))
    elsewhere.delete(KEY)
    eventually(lambda: node.load(KEY) is None)


def test_a_session_is_not_kept_past_its_expiry(server: Valkey, node: RedisStore, client: Any) -> None:
    # The server that is paused can't tell; the clock can.
    node.create(OTHER, {}, None, Lifetime(0.4, 3600))
    eventually(lambda: is_known(server, node, OTHER) or node.load(OTHER) is None)
    with server.paused():
        hasty = 0
        while hasty < 2000 and node._cache is not None and node._cache.get(f"session:{{{OTHER}}}") is not None:
            hasty += 1
            threading.Event().wait(0.001)
    assert hasty < 700
    eventually(lambda: node.load(OTHER) is None)  # the server's own clock may be a millisecond behind


def test_a_read_that_a_change_overtakes_is_not_kept(node: RedisStore) -> None:
    cache = node._cache
    assert cache is not None
    awaited = cache.expect(RAW)
    record = read(node)
    cache.forget(RAW)  # as a message does, or a write of this process
    cache.keep(RAW, awaited, record, 0.0)
    assert cache.get(RAW) is None


def test_a_silent_connection_ends_the_answers_from_memory(
    server: Valkey, node: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert node._cache is not None
    clock = [time.monotonic()]
    monkeypatch.setattr(redis_cache, "time", type("Clock", (), {"monotonic": staticmethod(lambda: clock[0])}))
    with server.paused():
        clock[0] += redis_cache.LOOK_EVERY + 0.01
        assert node._cache.get(RAW) is not None  # and a ROLE is on its way
        clock[0] += redis_cache.MAX_LAG
        assert node._cache.get(RAW) is None
    eventually(lambda: node._cache is not None and node._cache.get(RAW) is not None)  # nothing happened meanwhile


def test_a_lost_connection_forgets_all_and_is_made_again(
    server: Valkey, node: RedisStore, elsewhere: RedisStore, client: Any
) -> None:
    client.client_kill_filter(_type="normal", skipme=True)
    elsewhere.update(KEY, Changes({"a": b"2"}), HOUR)
    assert read(node).fields == {"a": b"2"}
    eventually(lambda: is_known(server, node))


def test_an_emptied_database_empties_the_cache(node: RedisStore, client: Any) -> None:
    client.flushdb()
    eventually(lambda: node.load(KEY) is None)


def test_a_full_cache_forgets_what_was_not_read_for_longest(server: Valkey, client: Any) -> None:
    node = RedisStore.from_url(server.url, PATIENT, cached_sessions=2)
    for number in range(3):
        node.create(f"{number:064x}", {}, None, HOUR)
    eventually(lambda: is_known(server, node, f"{0:064x}"))
    eventually(lambda: is_known(server, node, f"{1:064x}"))
    node.load(f"{0:064x}")
    eventually(lambda: is_known(server, node, f"{2:064x}"))
    assert is_known(server, node, f"{0:064x}")
    assert not is_known(server, node, f"{1:064x}")
    node.close()


def test_a_user_who_may_not_listen_reads_without_a_cache(
    server: Valkey, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.acl_setuser("poor", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-client|tracking"])
    node = RedisStore.from_url(f"redis://poor:p@127.0.0.1:{server.port}/0", PATIENT, cached_sessions=10)
    node.create(KEY, {"a": b"1"}, None, HOUR)
    assert read(node).fields == read(node).fields == {"a": b"1"}
    assert caplog.text.count("without the cache") == 1
    node.close()
    client.acl_deluser("poor")


def test_a_child_process_listens_for_itself(node: RedisStore) -> None:
    assert node._cache is not None
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # It knows nothing at first, and leaves its parent's messages alone.
            if node._cache.get(RAW) is None and read(node).fields == {"a": b"1"}:
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert node._cache.get(RAW) is not None


def test_threads_that_read_and_write_never_go_back_in_time(node: RedisStore, elsewhere: RedisStore) -> None:
    elsewhere.update(KEY, Changes({"a": b"0"}), HOUR)
    eventually(lambda: read(node).fields == {"a": b"0"})
    done, backwards = threading.Event(), []

    def watch() -> None:
        last = 0
        while not done.is_set():
            now = int(read(node).fields["a"])
            if now < last:
                backwards.append((last, now))
            last = now

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    for number in range(1, 500):
        (elsewhere if number % 2 else node).update(KEY, Changes({"a": str(number).encode()}), HOUR)
    done.set()
    for watcher in watchers:
        watcher.join()
    assert not backwards


def test_no_server_is_unknown_and_not_what_was_last_known() -> None:
    server = Valkey()
    node = RedisStore.from_url(server.url, Budgets(0.5, 0.5, retries=0, deadline=1), cached_sessions=10)
    try:
        node.create(KEY, {}, None, HOUR)
        eventually(lambda: is_known(server, node))
        server.kill()
        with pytest.raises(StoreUnavailable):
            node.load(KEY)
    finally:
        node.close()
        server.close()


def test_without_resp3_there_is_no_cache() -> None:
    with pytest.raises(ValueError, match="RESP3"):
        RedisStore.from_url("redis://localhost?protocol=2", cached_sessions=10)
