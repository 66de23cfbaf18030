"""Connections are reused, but never one whose answer is outstanding, and never to a server that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from tests.support.records import HOUR, KEY, OTHER, PATIENT, fields_of, in_threads
from tests.support.valkey import Valkey


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A server that a test may ill-treat."""
    made = Valkey()
    yield made
    made.close()


@pytest.fixture
def client(own: Valkey) -> Iterator[Any]:
    with own.client() as made:
        yield made


def store_at(server: Valkey, budgets: Budgets = PATIENT) -> RedisStore:
    store = RedisStore.from_url(server.url, budgets)
    store.create(KEY, {"a": b"1"}, None, HOUR)
    store.create(OTHER, {"b": b"2"}, None, HOUR)
    return store


def crowd(store: RedisStore, number: int) -> None:
    """Makes the store open up to `number` connections."""
    in_threads(*[lambda: [store.load(KEY) for _ in range(20)]] * number)


def connected(client: Any) -> int:
    return len(client.client_list(_type="normal")) - 1


@pytest.mark.parametrize("many", [False, True])
def test_a_write_notices_that_the_server_has_closed_the_connection(own: Valkey, client: Any, many: bool) -> None:
    store = store_at(own)
    if many:
        crowd(store, 8)
    client.client_kill_filter(_type="normal", skipme=True)
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    client.client_kill_filter(_type="normal", skipme=True)
    assert store.delete(KEY) is not None
    client.client_kill_filter(_type="normal", skipme=True)
    assert fields_of(store, OTHER) == {"b": b"2"}  # without a retry of the budget
    store.close()


def test_a_write_after_a_restart_does_not_fail(own: Valkey) -> None:
    store = store_at(own)
    own.kill()
    own.start()
    assert store.create(KEY, {"a": b"2"}, "alice", HOUR) is not None
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    store.close()


def test_a_late_answer_is_not_taken_for_the_answer_to_another_command(own: Valkey) -> None:
    store = store_at(own, Budgets(5, 0.1, retries=0, deadline=1))
    for _ in range(5):
        with own.paused(), pytest.raises(StoreUnavailable):
            store.load(KEY)
        with own.paused(), pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"9"}), HOUR)
        patient = store_at(own)
        assert fields_of(patient, OTHER) == fields_of(store, OTHER) == {"b": b"2"}
        patient.close()
    store.close()


def test_an_interrupted_read_leaves_no_answer_behind(own: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(own)
    connection = store._connections._free[-1]  # type: ignore[attr-defined]
    read, calls = connection.read_response, []

    def interrupted(**options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:  # between the two answers of a read
            raise KeyboardInterrupt
        return read(**options)

    monkeypatch.setattr(connection, "read_response", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.load(KEY)
    assert not connection.is_connected
    assert fields_of(store, OTHER) == {"b": b"2"}
    store.close()


def test_data_without_a_request_is_never_an_answer_to_a_write(own: Valkey, client: Any) -> None:
    store = store_at(own)
    connection = store._connections._free[-1]  # type: ignore[attr-defined]
    connection.send_command("PING")
    while not connection.can_read(1):
        pass
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    assert fields_of(store, KEY) == {"a": b"2"}
    store.close()


def test_connections_to_a_demoted_primary_are_closed(own: Valkey, client: Any) -> None:
    store = store_at(own)
    client.replicaof("127.0.0.1", "1")
    assert connected(client) == 1
    with pytest.raises(StoreUnavailable, match="read only"):
        store.update(KEY, Changes({"a": b"2"}), HOUR)
    until = time.monotonic() + 10
    while connected(client):
        assert time.monotonic() < until
    client.replicaof("NO", "ONE")
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    store.close()


def test_more_threads_than_connections_wait_for_their_turn(own: Valkey, client: Any) -> None:
    store = store_at(own, Budgets(10, 10, retries=0, deadline=10, max_connections=2))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for round_ in range(50):
                assert store.update(KEY, Changes({f"n{number}": str(round_).encode()}), HOUR) is Outcome.APPLIED
                assert fields_of(store, KEY)[f"n{number}"] == str(round_).encode()
        except BaseException as error:
            failures.append(error)
            raise

    in_threads(*(partial(work, number) for number in range(12)))
    assert not failures
    assert connected(client) <= 2
    store.close()


def test_connections_that_could_not_be_made_are_not_counted(own: Valkey) -> None:
    store = RedisStore.from_url(own.url, Budgets(0.2, 0.2, retries=0, deadline=0.2, max_connections=2))
    own.kill()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            store.ping()
    own.start()
    crowd(store, 2)
    store.close()


def test_a_child_process_makes_its_own_connections(own: Valkey, client: Any) -> None:
    store = store_at(own)
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
    assert connected(client) == 1
    store.close()


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from nodes.sessions import Budgets, Changes, Lifetime, RedisStore

store = RedisStore.from_url(sys.argv[1], Budgets(5, 5, deadline=5, max_connections=4))
keys = [f"{number:064x}" for number in range(40)]
gevent.setswitchinterval(1e-6)  # switch wherever gevent may, as on a busy machine
for key in keys:
    store.create(key, {"me": key.encode()}, key, Lifetime(600, 3600))
cut = 0

def work(key):
    global cut
    for round_ in range(60):
        with gevent.Timeout(0.0001 if round_ % 3 == 0 else 30, False):  # a request that is given up on its way
            record = store.load(key)
            assert record.fields["me"] == key.encode() and record.owner == key, record
            store.update(key, Changes({"n": str(round_).encode()}), Lifetime(600, 3600))
            assert store.load(key).fields["n"] == str(round_).encode()
            continue
        cut += 1

gevent.joinall([gevent.spawn(work, key) for key in keys], raise_error=True, timeout=60)
assert cut > 0
print("all", cut)
"""


def test_greenlets_that_are_interrupted_anywhere_never_see_each_others_answers(own: Valkey, client: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS, own.url], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all")
