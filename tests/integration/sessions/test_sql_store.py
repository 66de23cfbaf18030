"""What is special about sessions in SQL: on SQLite here, on MariaDB and PostgreSQL in the docker tier."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, func, select, update

from nodes.sessions import Budgets, Changes, Outcome, StoreUnavailable, UnsupportedRecordVersion
from nodes.sessions.stores.sql import SqlStore
from nodes.sessions.stores.sql.engine import make_engine
from nodes.sessions.stores.sql.statements import FORMAT, ddl, metadata, sessions
from tests.support.harnesses.sql import SqlHarness
from tests.support.records import HOUR, KEY, OTHER
from tests.support.sql_servers import PATIENT

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sql_name() -> str:
    return "sqlite"


@pytest.fixture
def harness(request: pytest.FixtureRequest, sql_name: str) -> SqlHarness:
    made: SqlHarness = request.getfixturevalue(f"{sql_name}_harness")
    made.clear()
    return made


@pytest.fixture
def store(harness: SqlHarness) -> Iterator[SqlStore]:
    """Of this test alone, and connected."""
    own = SqlStore.from_url(harness.url, PATIENT)
    own.ping()
    own.count()
    yield own
    own.close()


@pytest.fixture
def sent(store: SqlStore) -> list[str]:
    """The first word of each statement that the store sends, BEGIN and COMMIT too."""
    words: list[str] = []

    def executing(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words.append(statement.split()[0])

    for database in (store._database, store._housekeeping):
        event.listen(database._engine, "before_cursor_execute", executing)
        for name in ("begin", "commit"):
            event.listen(database._engine, name, lambda connection, name=name: words.append(f"{name} by SQLAlchemy"))
    return words


TRANSACTION = ["BEGIN", "SELECT", "UPDATE", "COMMIT"]
SWEEP = {
    "sqlite": ["BEGIN", "SELECT", "COMMIT"],
    "mysql": ["SELECT", "BEGIN", "SELECT", "COMMIT", "SELECT"],
    "postgresql": ["BEGIN", "SELECT", "SELECT", "COMMIT"],
}


def statements(store: SqlStore, sent: list[str]) -> dict[str, list[str]]:
    """What each operation of the docstring sends."""
    seen: dict[str, list[str]] = {}

    def watch(name: str, call: Any) -> None:
        sent.clear()
        call()
        # SQLAlchemy reports the beginning of a transaction that autocommit mode makes one of its own, sent to nobody.
        seen[name] = [word for word in sent if word != "begin by SQLAlchemy"]

    watch("create", lambda: store.create(KEY, {"a": b"1"}, "alice", HOUR))
    watch("create, taken", lambda: store.create(KEY, {}, None, HOUR))
    watch("load", lambda: store.load(KEY))
    watch("load, absent", lambda: store.load(OTHER))
    watch("update", lambda: store.update(KEY, Changes({"a": b"2"}, expect={"a": b"1"}), HOUR))
    watch("update, conflict", lambda: store.update(KEY, Changes({"a": b"2"}, expect={"a": b"1"}), HOUR))
    watch("update, touch", lambda: store.update(KEY, Changes(), HOUR))
    watch("ping", store.ping)
    watch("keys_of", lambda: store.keys_of("alice"))
    watch("count", store.count)
    watch("keys", lambda: list(store.keys()))
    watch("delete", lambda: store.delete(KEY))
    store.create(OTHER, {}, None, HOUR)
    watch("quarantine", lambda: store.quarantine(OTHER))
    watch("sweep, nothing", store.sweep)
    return seen


def test_each_operation_sends_what_the_docstring_says(store: SqlStore, sent: list[str]) -> None:
    assert statements(store, sent) == {
        "create": ["INSERT"],
        "create, taken": ["INSERT", "BEGIN", "DELETE", "COMMIT"],
        "load": ["SELECT"],
        "load, absent": ["SELECT"],
        "update": TRANSACTION,
        "update, conflict": ["BEGIN", "SELECT", "COMMIT"],
        "update, touch": ["UPDATE"],
        "ping": ["SELECT"],
        "keys_of": ["SELECT"],
        "count": ["SELECT"],
        "keys": ["SELECT"],
        "delete": ["DELETE"],
        "quarantine": ["UPDATE"],
        "sweep, nothing": SWEEP[store._database._engine.dialect.name],
    }


def test_the_schema_is_made_once_by_any_number_of_nodes_at_once(harness: SqlHarness) -> None:
    with harness.engine.begin() as connection:
        metadata.drop_all(connection)
    stores = [SqlStore.from_url(harness.url, PATIENT) for _ in range(6)]
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(stores))

    def make(store: SqlStore) -> None:
        barrier.wait()
        try:
            store.create_schema()
        except StoreUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(store,)) for store in stores]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert stores[0].create(KEY, {"a": b"1"}, None, HOUR) is not None
        stores[1].create_schema()
        assert stores[2].load(KEY) is not None
    finally:
        harness.sql.create_schema()
        for store in stores:
            store.close()


def test_an_index_that_is_missing_is_made(harness: SqlHarness, store: SqlStore) -> None:
    (index,) = [index for index in sessions.indexes if index.name == "sessions_by_owner"]
    with harness.engine.begin() as connection:
        index.drop(connection)
    store.create_schema()
    with harness.engine.begin() as connection:
        index.drop(connection)
        index.create(connection)


def test_a_missing_table_is_unavailable_and_says_what_to_do(harness: SqlHarness, store: SqlStore) -> None:
    with harness.engine.begin() as connection:
        metadata.drop_all(connection)
    try:
        for call in (lambda: store.load(KEY), store.ping, lambda: store.create(KEY, {}, None, HOUR), store.sweep):
            with pytest.raises(StoreUnavailable, match=r"call the store.s create_schema\(\) once"):
                call()
    finally:
        store.create_schema()


def test_a_corrupt_row_is_quarantined_and_kept_for_a_day(
    harness: SqlHarness, store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    for key, notice in (
        (KEY, lambda: store.load(KEY)),
        (OTHER, lambda: store.update(OTHER, Changes({"a": b""}), HOUR)),
    ):
        store.create(key, {"a": b"secret"}, "alice", HOUR)
        harness.damage(key)
        with caplog.at_level(logging.ERROR, "nodes.sessions"):
            assert notice() in (None, Outcome.ABSENT)
        assert f"session {key} is corrupt and was quarantined" in caplog.text
    with harness.engine.connect() as connection:
        rows = connection.execute(select(sessions.c.key, sessions.c.fields).where(sessions.c.set_aside > 0)).all()
    assert sorted(tuple(row) for row in rows) == [(KEY, b"\xc1"), (OTHER, b"\xc1")]
    assert (store.keys_of("alice"), store.count(), list(store.keys()), store.sweep()) == ([], 0, [], 0)
    harness.advance(24 * 60 * 60 + 1)
    assert store.sweep() == 2


@pytest.mark.parametrize("created", [-1, 253_402_300_800_000])
def test_a_row_without_a_valid_creation_time_is_corrupt(harness: SqlHarness, store: SqlStore, created: int) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    with harness.engine.begin() as connection:
        connection.execute(update(sessions).values(created=created))
    assert store.load(KEY) is None
    with harness.engine.connect() as connection:
        assert connection.execute(select(sessions.c.set_aside)).scalar_one() > 0


def test_a_row_of_a_later_version_is_unknown_and_untouched(harness: SqlHarness, store: SqlStore) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    with harness.engine.begin() as connection:
        connection.execute(update(sessions).values(format=FORMAT + 1))
        before = connection.execute(select(sessions)).one()
    for call in (
        lambda: store.load(KEY),
        lambda: store.update(KEY, Changes({"a": b"2"}), HOUR),
        lambda: store.update(KEY, Changes(), HOUR),
    ):
        with pytest.raises(UnsupportedRecordVersion):
            call()
    assert store.create(KEY, {}, None, HOUR) is None
    with harness.engine.begin() as connection:
        assert connection.execute(select(sessions)).one() == before
    assert store.delete(KEY) is None  # a logout is final, whatever wrote the session
    with harness.engine.begin() as connection:
        assert connection.execute(select(func.count()).select_from(sessions)).scalar_one() == 0


@pytest.mark.parametrize("owner", ["x" * 256, "a\0b"])
def test_an_owner_that_not_every_database_can_hold_is_refused(store: SqlStore, owner: str) -> None:
    with pytest.raises(ValueError, match="at most 255 characters"):
        store.create(KEY, {}, owner, HOUR)
    assert store.load(KEY) is None


SWEEPS = """
import sys
from nodes.sessions.stores.sql import SqlStore
from tests.support.sql_servers import PATIENT
store = SqlStore.from_url(sys.argv[1], PATIENT)
store.ping()
print("ready", flush=True)
sys.stdin.readline()
print(store.sweep(10_000))
"""


def test_two_processes_that_sweep_at_once_take_each_row_once(harness: SqlHarness, store: SqlStore) -> None:
    rows = [
        {"key": f"{n:064x}", "set_aside": 0, "created": 1, "expires": 2, "final": False, "format": 1, "fields": b"\x80"}
        for n in range(600)
    ]
    with harness.engine.begin() as connection:
        connection.execute(sessions.insert(), rows)
    store.create(KEY, {}, None, HOUR)
    command = [sys.executable, "-c", SWEEPS, harness.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sweepers: list[Any] = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    assert [sweeper.stdout.readline() for sweeper in sweepers] == ["ready\n"] * 2
    for sweeper in sweepers:
        sweeper.stdin.write("go\n")
        sweeper.stdin.flush()
    assert sum(int(sweeper.communicate(timeout=60)[0]) for sweeper in sweepers) == 600
    assert store.load(KEY) is not None


def expired(harness: SqlHarness, store: SqlStore, number: int) -> None:
    for each in range(number):
        store.create(f"{each:064x}", {}, None, HOUR)
    harness.advance(601)


def at_the_first_delete(store: SqlStore, call: Any) -> None:
    """Calls `call` in the middle of the first transaction of a sweep."""
    calls = [call]

    def executing(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE") and calls:
            calls.pop()()

    event.listen(store._housekeeping._engine, "before_cursor_execute", executing)


def test_while_one_sweeps_another_finds_nothing_to_do(harness: SqlHarness, store: SqlStore) -> None:
    expired(harness, store, 130)  # of which a transaction takes 100 and leaves the others unlocked
    other = SqlStore(make_engine(harness.url, Budgets(10, 0.2, retries=0, deadline=20)))
    found: list[int] = []

    def sweep_too() -> None:
        try:
            found.append(other.sweep())
        except StoreUnavailable:  # SQLite says no more than that somebody else is writing
            assert harness.engine.dialect.name == "sqlite"
            found.append(0)

    other.ping()
    at_the_first_delete(store, sweep_too)
    assert (store.sweep(), found) == (130, [0])
    assert other.sweep() == 0
    other.close()


def test_a_sweep_that_fails_lets_others_sweep(harness: SqlHarness, store: SqlStore) -> None:
    expired(harness, store, 3)

    def fail() -> None:
        raise ArithmeticError

    at_the_first_delete(store, fail)
    with pytest.raises(ArithmeticError):
        store.sweep()
    other = SqlStore.from_url(harness.url, PATIENT)
    assert other.sweep() == 3
    other.close()


def test_a_failed_write_leaves_its_connection_as_it_was(harness: SqlHarness, store: SqlStore) -> None:
    """One connection for all: a transaction left open would swallow the next write, or keep its lock."""
    single = SqlStore(make_engine(harness.url, PATIENT))
    store.create(KEY, {"a": b"1"}, None, HOUR)

    def fails(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            raise ArithmeticError

    event.listen(single._database._engine, "before_cursor_execute", fails)
    with pytest.raises(ArithmeticError):
        single.update(KEY, Changes({"a": b"2"}), HOUR)
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    assert single.create(OTHER, {}, None, HOUR) is not None
    assert store.load(OTHER) is not None
    single.close()


def test_the_url_may_have_a_host_name(harness: SqlHarness) -> None:
    named = SqlStore.from_url(harness.url.replace("127.0.0.1", "localhost"), PATIENT)
    assert named.load(KEY) is None
    named.close()


def test_any_engine_of_the_application_can_be_used(harness: SqlHarness) -> None:
    encoding = {"client_encoding": "utf8"} if harness.engine.dialect.name == "postgresql" else {}
    plain = SqlStore(create_engine(harness.engine.url, connect_args=encoding))
    assert plain.create(KEY, {"a": b"1"}, "alice", HOUR) is not None
    assert plain.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    assert plain.delete(KEY) is not None
    plain.close()


@pytest.mark.parametrize("url", ["oracle://db/x", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_keep_sessions_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"one of sqlite|names no file"):
        SqlStore.from_url(url)


@pytest.mark.parametrize("url", ["sqlite://", "mysql+pymysql://", "postgresql+psycopg://"])
def test_the_manual_prints_the_schema_as_it_is(url: str) -> None:
    page = (ROOT / "docs/sql.md").read_text()
    assert "\n".join(f"    {line}".rstrip() for line in ddl(url).splitlines()) in page
