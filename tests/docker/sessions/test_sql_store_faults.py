"""Faults of a database: which operations are tried again, how long they take, what is stored afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, make_url, select

from deploy.fault_proxy import FaultProxy
from nodes.sessions import Budgets, Changes, Outcome, SessionMark, StoreUnavailable
from nodes.sessions.stores.sql import SqlStore
from nodes.sessions.stores.sql.statements import sessions
from tests.support.harnesses.sql import SqlHarness, before_statement
from tests.support.records import HOUR, KEY, OTHER, fields_of
from tests.support.sql_servers import PATIENT, SqlServer, running
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
TRYING_AGAIN = Budgets(10, 20, retries=1, deadline=20)


@pytest.fixture(params=["mysql", "postgres"])
def server(request: pytest.FixtureRequest) -> SqlServer:
    made: SqlServer = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def store_name(server: SqlServer) -> str:
    return "mysql" if server.scheme == "mysql" else "postgres"


@pytest.fixture
def store(harness: SqlHarness) -> Iterator[SqlStore]:
    own = SqlStore.from_url(harness.url, TRYING_AGAIN)
    own.create(KEY, {"a": b"1"}, "alice", HOUR)
    yield own
    own.close()


def cut(harness: SqlHarness) -> Callable[[Connection], None]:
    """Return a function that has the server end the connection it gets."""
    if harness.engine.dialect.name == "mysql":
        own, end = "SELECT CONNECTION_ID()", "KILL {}"
        ended = "SELECT COUNT(*) = 0 FROM information_schema.processlist WHERE id = {}"
    else:
        own, end = "SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"
        ended = "SELECT COUNT(*) = 0 FROM pg_stat_activity WHERE pid = {}"

    def now(connection: Connection) -> None:
        raw: Any = connection.connection.cursor()
        raw.execute(own)
        number = raw.fetchone()[0]
        with harness.engine.connect() as other:
            other.exec_driver_sql(end.format(number))
            wait_until(lambda: other.exec_driver_sql(ended.format(number)).scalar_one())

    return now


def test_an_answer_that_comes_byte_by_byte_is_given_up_in_time(server: SqlServer, store: SqlStore) -> None:
    hasty = Budgets(1, 0.5, retries=0, deadline=1)
    with closing(FaultProxy.to(server.port)) as proxy:
        url = make_url(server.url).set(port=proxy.port).render_as_string(hide_password=False)
        with closing(SqlStore.from_url(url, hasty)) as own:
            assert fields_of(own) == {"a": b"1"}
            proxy.answers("drip")  # a byte each 0.15 s
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                own.load(KEY)
            with pytest.raises(StoreUnavailable):  # on a new connection
                own.load(KEY)
            assert time.monotonic() - started < 4
            proxy.reset()
            assert fields_of(own) == {"a": b"1"}


UPDATE = Changes({"a": b"2"}, expect={"a": b"1"})
"""It would fail had an earlier attempt been applied."""
TRANSACTION = ["BEGIN", "SELECT", "UPDATE", "COMMIT"]


def test_a_read_whose_connection_is_lost_is_tried_again_on_another_one(harness: SqlHarness, store: SqlStore) -> None:
    sent = before_statement(store._database._engine, "SELECT", cut(harness))
    assert fields_of(store) == {"a": b"1"}
    assert sent == ["SELECT", "SELECT"]


@pytest.mark.parametrize("at", ["BEGIN", "SELECT", "UPDATE"])
def test_an_update_that_did_not_reach_its_commit_is_tried_again(harness: SqlHarness, store: SqlStore, at: str) -> None:
    sent = before_statement(store._database._engine, at, cut(harness))
    assert store.update(KEY, UPDATE, HOUR) is Outcome.APPLIED
    assert sent[-4:] == TRANSACTION
    assert fields_of(store) == {"a": b"2"}


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (lambda store: store.create(OTHER, {}, None, HOUR), ["INSERT"]),
        (lambda store: store.delete(KEY), ["DELETE"]),
        (lambda store: store.retire(KEY, SessionMark()), ["UPDATE"]),
        (lambda store: store.update(KEY, Changes(), HOUR), ["UPDATE"]),
        (lambda store: store.update(KEY, UPDATE, HOUR), TRANSACTION),
    ],
    ids=["create", "delete", "retire", "touch", "update"],
)
def test_a_write_without_an_answer_is_unknown_and_not_sent_again(
    harness: SqlHarness, store: SqlStore, call: Callable[[SqlStore], object], sent: list[str]
) -> None:
    seen = before_statement(store._database._engine, sent[-1], cut(harness))
    with pytest.raises(StoreUnavailable, match="no answer to COMMIT" if sent[-1] == "COMMIT" else None):
        call(store)
    assert seen == sent
    assert fields_of(store) == {"a": b"1"}


@pytest.mark.parametrize(
    ("call", "last"),
    [
        (lambda store: store.create(OTHER, {}, None, HOUR), "INSERT"),
        (lambda store: store.delete(KEY), "DELETE"),
        (lambda store: store.update(KEY, Changes(), HOUR), "UPDATE"),
        (lambda store: store.update(KEY, UPDATE, HOUR), "COMMIT"),
    ],
    ids=["create", "delete", "touch", "update"],
)
def test_a_disk_that_is_slow_for_a_moment_fails_no_write(
    harness: SqlHarness, server: SqlServer, call: Callable[[SqlStore], object], last: str
) -> None:
    """The answer to what the server flushes to its disk may take longer than `read_timeout`, until the deadline."""
    with closing(SqlStore.from_url(harness.url, Budgets(10, 0.25, retries=0, deadline=20))) as store:
        store.create(KEY, {"a": b"1"}, None, HOUR)

        going_on = threading.Timer(0.6, server.go_on)  # before the server ends the transaction, which it does after 1 s

        def stop(_connection: Connection) -> None:
            server.pause()
            going_on.start()

        before_statement(store._database._engine, last, stop)
        started = time.monotonic()
        try:
            call(store)
        finally:
            going_on.join()
        assert time.monotonic() - started > 0.5


@pytest.mark.parametrize("retries", [0, 1])
def test_the_victim_of_a_deadlock_is_tried_again_within_the_budget(harness: SqlHarness, retries: int) -> None:
    store = SqlStore.from_url(harness.url, Budgets(10, 20, retries=retries, deadline=20))
    store.create(KEY, {"a": b"1"}, None, HOUR)
    deadlock = (
        "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
        if harness.engine.dialect.name == "mysql"
        else "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$"
    )
    sent = before_statement(store._database._engine, "UPDATE", lambda connection: connection.exec_driver_sql(deadlock))
    with nullcontext() if retries else pytest.raises(StoreUnavailable):
        assert store.update(KEY, UPDATE, HOUR) is Outcome.APPLIED
    assert sent.count("UPDATE") == 1 + retries
    assert fields_of(store) == {"a": b"2" if retries else b"1"}
    store.close()


CALLS: list[Callable[[SqlStore], object]] = [
    lambda store: store.load(KEY),
    lambda store: store.update(KEY, Changes({"a": b""}), HOUR),
    lambda store: store.ping(),
]


def test_a_silent_server_costs_the_budget_and_no_more(harness: SqlHarness, server: SqlServer) -> None:
    """On an open connection, and on one that can't be opened."""
    budgets = Budgets(0.2, 0.2, retries=1, deadline=0.3)
    connected, fresh = (SqlStore.from_url(harness.url, budgets) for _ in range(2))
    wait_until(lambda: answers(connected))
    with server.paused():
        for store in (connected, fresh):
            for call in CALLS:
                started = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    call(store)
                # Two attempts of 0.2 s, 0.1 s for the server, 0.1 s of psycopg's clock; and a busy machine.
                assert time.monotonic() - started < 2
    for store in (connected, fresh):
        wait_until(partial(answers, store))
        store.close()


def answers(store: SqlStore) -> bool:
    try:
        return bool(store.ping())
    except StoreUnavailable:
        return False


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.update(KEY, UPDATE, HOUR),
        lambda store: store.update(KEY, Changes(), HOUR),
        lambda store: store.retire(KEY, SessionMark()),
    ],
    ids=["update", "touch", "retire"],
)
def test_a_write_waits_for_others_that_write_to_its_row_until_the_deadline(
    harness: SqlHarness, call: Callable[[SqlStore], object]
) -> None:
    """Each of them has the row until its commit is on the disk: together they may take longer than `read_timeout`."""
    with closing(SqlStore.from_url(harness.url, Budgets(5, 0.25, retries=0, deadline=5))) as store:
        store.create(KEY, {"a": b"1"}, None, HOUR)
        with harness.engine.connect() as other:
            other.exec_driver_sql("BEGIN")
            other.execute(select(sessions).where(sessions.c.key == KEY).with_for_update())
            ending = threading.Timer(0.8, other.exec_driver_sql, ["ROLLBACK"])
            ending.start()
            try:
                assert call(store) is Outcome.APPLIED
            finally:
                ending.join()


def test_a_locked_row_costs_the_budget_and_blocks_no_other_row(harness: SqlHarness) -> None:
    store = SqlStore.from_url(harness.url, Budgets(5, 1, retries=0, deadline=1.5, max_connections=1))
    connected: list[object] = []
    event.listen(store._database._engine, "connect", lambda *made: connected.append(made))
    store.create(KEY, {"a": b"1"}, None, HOUR)
    store.create(OTHER, {"a": b"1"}, None, HOUR)
    with harness.engine.connect() as other:
        other.exec_driver_sql("BEGIN")
        other.execute(select(sessions).where(sessions.c.key == KEY).with_for_update())
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
        assert time.monotonic() - started < 4
        assert fields_of(store) == {"a": b"1"}
        assert store.update(OTHER, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
        assert store.sweep() == 0
        other.exec_driver_sql("ROLLBACK")
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    assert len(connected) == 1  # the server ended the wait, and so the connection is still good
    store.close()


def test_a_sweep_skips_rows_that_another_transaction_has_locked(harness: SqlHarness, store: SqlStore) -> None:
    store.create(OTHER, {}, None, HOUR)
    harness.advance(601)
    with harness.engine.connect() as other:
        other.exec_driver_sql("BEGIN")
        other.execute(select(sessions).where(sessions.c.key == KEY).with_for_update())
        assert (store.sweep(), store.sweep()) == (1, 0)
        other.exec_driver_sql("ROLLBACK")
    assert store.sweep() == 1


def test_a_process_that_hangs_in_a_sweep_holds_its_lock_for_a_bounded_time(
    harness: SqlHarness, store: SqlStore
) -> None:
    """For four times the read timeout of housekeeping, which is twenty times that of a request: 4 s here."""
    harness.advance(601)
    hanging = SqlStore.from_url(harness.url, Budgets(5, 0.05, retries=0, deadline=5))
    inside, go_on = threading.Event(), threading.Event()
    before_statement(hanging._housekeeping._engine, "DELETE", lambda _connection: (inside.set(), go_on.wait(60)))
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(hanging.sweep)
        assert inside.wait(20)
        assert store.sweep() == 0
        wait_until(store.sweep)
        go_on.set()
        with pytest.raises(StoreUnavailable):
            sweep.result()
    hanging.close()


def test_an_exhausted_pool_costs_the_budget(harness: SqlHarness) -> None:
    store = SqlStore.from_url(harness.url, Budgets(0.1, 20, retries=1, deadline=20, max_connections=1))
    wait_until(lambda: answers(store))
    with store._database._engine.connect():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.load(KEY)
        assert time.monotonic() - started < 2
    assert store.load(KEY) is None
    store.close()


@pytest.mark.parametrize("scheme", ["mariadb", "postgresql"])
def test_a_server_killed_during_an_update_loses_the_update_and_nothing_else(scheme: str) -> None:
    with running(scheme, durable=True) as server:
        store = SqlStore.from_url(server.url, PATIENT)
        store.create_schema()
        store.create(KEY, {"a": b"1", "b": b"1"}, "alice", HOUR)
        before_statement(store._database._engine, "COMMIT", lambda _connection: server.kill())
        with pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"2"}, frozenset({"b"})), HOUR)
        with pytest.raises(StoreUnavailable):
            store.load(KEY)
        server.restart()
        assert fields_of(store) == {"a": b"1", "b": b"1"}
        assert store.keys_of("alice") == [KEY]
        store.close()


@pytest.mark.parametrize("scheme", ["mariadb", "postgresql"])
def test_a_restart_of_the_server_costs_the_next_writes_nothing(scheme: str) -> None:
    with running(scheme, durable=True) as server:
        store = SqlStore.from_url(server.url, PATIENT)
        store.create_schema()
        engine = store._database._engine
        with engine.connect(), engine.connect():
            pass  # two connections, which the pool keeps
        server.kill()
        server.restart()
        store.create(KEY, {"a": b"1"}, None, HOUR)
        with engine.connect():  # the first connection is in use
            assert store.update(KEY, UPDATE, HOUR) is Outcome.APPLIED
        store.close()


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys, time, gevent
from nodes.sessions import Budgets, StoreUnavailable
from nodes.sessions.stores.sql import SqlStore
connected, fresh = (SqlStore.from_url(sys.argv[1], Budgets(1, 1, retries=0, deadline=1)) for _ in range(2))
connected.ping()
print("ready", flush=True)
sys.stdin.readline()
longest, last, refused = 0.0, time.monotonic(), 0
def tick():
    global longest, last
    while True:
        gevent.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
def ask(store):
    global refused
    try:
        store.load("a" * 64)
    except StoreUnavailable:
        refused += 1
gevent.spawn(tick)
gevent.joinall([gevent.spawn(ask, store) for store in (connected, connected, fresh, fresh)])
print(refused, longest)
"""


def test_greenlets_that_wait_for_a_silent_server_block_no_others(harness: SqlHarness, server: SqlServer) -> None:
    command = [sys.executable, "-c", GREENLETS, harness.url]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with server.paused():
        refused, longest = process.communicate("go\n", timeout=30)[0].split()
    assert int(refused) == 4
    assert float(longest) < 0.8  # seconds; a blocked hub takes the whole second of the budget
