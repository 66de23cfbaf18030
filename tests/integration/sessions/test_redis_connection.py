"""A connection is used again, but not while a reply is outstanding, and not if its server has closed it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from tests.support.records import HOUR, KEY, OTHER, PATIENT, fields_of, in_threads
from tests.support.redis_stores import OpenStore
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

Fill = Callable[..., RedisStore]


@pytest.fixture
def client(own: Valkey) -> Iterator[Any]:
    with own.client() as made:
        yield made


@pytest.fixture
def fill(own: Valkey, open_store: OpenStore) -> Fill:
    """Opens a store with two sessions."""

    def open_and_fill(budgets: Budgets = PATIENT) -> RedisStore:
        store = open_store(own, budgets)
        store.create(KEY, {"a": b"1"}, None, HOUR)
        store.create(OTHER, {"b": b"2"}, None, HOUR)
        return store

    return open_and_fill


def open_connections(store: RedisStore, number: int) -> None:
    """Make the store open up to `number` connections."""
    in_threads(*[lambda: [store.load(KEY) for _ in range(20)]] * number)


def count_connections(client: Any) -> int:
    return len(client.client_list(_type="normal")) - 1


@pytest.mark.parametrize("connections", [1, 8])
def test_a_connection_that_the_server_closed_fails_no_operation(fill: Fill, client: Any, connections: int) -> None:
    store = fill()
    open_connections(store, connections)
    client.client_kill_filter(_type="normal", skipme=True)
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    client.client_kill_filter(_type="normal", skipme=True)
    store.delete(KEY)
    client.client_kill_filter(_type="normal", skipme=True)
    assert fields_of(store, OTHER) == {"b": b"2"}  # without a retry of the budget


def test_a_unix_socket_that_the_server_closed_fails_no_write(tmp_path: Path, open_store: OpenStore) -> None:
    with closing(Valkey("--unixsocket", f"{tmp_path}/s")) as server, server.client() as client:
        store = open_store(f"unix://{tmp_path}/s", PATIENT)
        assert store.create(KEY, {}, None, HOUR) is not None
        client.client_kill_filter(_type="normal", skipme=True)
        assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
        assert count_connections(client) == 1


def test_a_write_after_a_restart_does_not_fail(own: Valkey, fill: Fill) -> None:
    store = fill()
    own.kill()
    own.start()
    assert store.create("c" * 64, {}, "alice", HOUR) is not None
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED


def test_a_late_reply_is_not_given_to_the_next_request(own: Valkey, fill: Fill) -> None:
    store, patient = fill(Budgets(5, 0.1, retries=0, deadline=1)), fill()
    for _ in range(5):
        with own.paused(), pytest.raises(StoreUnavailable):
            store.load(KEY)
        with own.paused(), pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"9"}), HOUR)
        assert fields_of(patient, OTHER) == fields_of(store, OTHER) == {"b": b"2"}


def test_an_interrupted_request_leaves_no_reply_behind(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill()
    connection = store._connections._free[-1]  # type: ignore[attr-defined]

    def receive() -> bool:
        raise KeyboardInterrupt  # the commands are sent

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(connection._parser, "read_from_socket", receive)
        store.load(KEY)
    assert not connection.is_connected
    assert fields_of(store, OTHER) == {"b": b"2"}


def test_a_request_that_is_interrupted_before_it_sends_takes_no_connection_along(
    fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(Budgets(connect_timeout=1, read_timeout=5, retries=0, deadline=5, max_connections=1))

    def interrupt(_parser: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nodes.sessions.stores.redis.exchange.BoundedParser.is_stale", interrupt)
        store.update(KEY, Changes({"a": b"2"}), HOUR)
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED


def test_unexpected_data_on_a_connection_is_not_the_reply_to_a_write(fill: Fill) -> None:
    store = fill()
    connection = store._connections._free[-1]  # type: ignore[attr-defined]
    connection.send_command("PING")
    wait_until(lambda: connection.can_read(1))
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    assert fields_of(store, KEY) == {"a": b"2"}


def test_the_connection_to_a_demoted_primary_is_closed(fill: Fill, client: Any) -> None:
    store = fill()
    client.replicaof("127.0.0.1", "1")
    assert count_connections(client) == 1
    with pytest.raises(StoreUnavailable, match="read only"):
        store.update(KEY, Changes({"a": b"2"}), HOUR)
    wait_until(lambda: count_connections(client) == 0)
    client.replicaof("NO", "ONE")
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED


def test_threads_wait_for_a_connection_where_all_are_in_use(fill: Fill, client: Any) -> None:
    store = fill(Budgets(10, 10, retries=0, deadline=10, max_connections=2))

    def work(number: int) -> None:
        for round_ in range(50):
            assert store.update(KEY, Changes({f"n{number}": b"%d" % round_}), HOUR) is Outcome.APPLIED
            assert fields_of(store, KEY)[f"n{number}"] == b"%d" % round_

    in_threads(*(partial(work, number) for number in range(12)))
    assert count_connections(client) <= 2


def test_a_refused_connection_takes_no_place(own: Valkey, open_store: OpenStore) -> None:
    store = open_store(own, Budgets(0.2, 0.2, retries=0, deadline=0.2, max_connections=2))
    own.kill()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            store.ping()
    own.start()
    open_connections(store, 2)


def test_a_child_process_makes_its_own_connections(fill: Fill, client: Any) -> None:
    store = fill()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if all(fields_of(store, KEY) == {"a": b"1"} for _ in range(200)):
                status = 0
        finally:
            os._exit(status)
    for _ in range(200):
        assert fields_of(store, OTHER) == {"b": b"2"}
    assert os.waitpid(child, 0)[1] == 0
    assert fields_of(store, OTHER) == {"b": b"2"}
    assert count_connections(client) == 1


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from nodes.sessions import Budgets, Changes, Lifetime, RedisStore

store = RedisStore.from_url(sys.argv[1], Budgets(30, 30, deadline=30, max_connections=4))
keys = [f"{number:064x}" for number in range(40)]
gevent.setswitchinterval(1e-6)  # switch wherever gevent may, as on a busy machine
for key in keys:
    store.create(key, {"me": key.encode()}, key, Lifetime(600, 3600))
interrupted = 0

def work(key):
    global interrupted
    for round_ in range(60):
        with gevent.Timeout(0.0001 if round_ % 3 == 0 else 30, False):  # a request that is given up on its way
            record = store.load(key)
            assert record.fields["me"] == key.encode() and record.owner == key, record
            store.update(key, Changes({"n": str(round_).encode()}), Lifetime(600, 3600))
            assert store.load(key).fields["n"] == str(round_).encode()
            continue
        interrupted += 1

gevent.joinall([gevent.spawn(work, key) for key in keys], raise_error=True, timeout=60)
assert interrupted > 0
print("all", interrupted)
"""


def test_interrupted_greenlets_never_get_the_replies_of_others(own: Valkey) -> None:
    command = [sys.executable, "-c", GREENLETS, own.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all")
