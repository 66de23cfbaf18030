"""The SQL store beyond the contract: on SQLite here, on MariaDB and PostgreSQL in the docker tier."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import Connection, create_engine, event, select, text

from nodes.sessions import Budgets, Changes, ForeignTable, Outcome, SessionMark, SessionTooLarge, StoreUnavailable
from nodes.sessions.stores.sql import SqlStore
from nodes.sessions.stores.sql.engine import make_engine
from nodes.sessions.stores.sql.statements import metadata, sessions
from tests.support.ddl import ddl
from tests.support.harnesses.sql import SqlHarness, before_statement
from tests.support.records import HOUR, KEY, OTHER, in_threads, load
from tests.support.sql_servers import PATIENT

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store_name() -> str:
    return "sqlite"


@pytest.fixture
def store(harness: SqlHarness) -> Iterator[SqlStore]:
    """A store of this test alone, whose engines are connected."""
    own = SqlStore.from_url(harness.url, PATIENT)
    own.ping()
    own.count()
    yield own
    own.close()


@pytest.fixture
def sent(store: SqlStore) -> list[str]:
    """The first word of each statement that the store sends, BEGIN and COMMIT too."""
    words: list[str] = []
    for database in (store._database, store._housekeeping):
        event.listen(database._engine, "before_cursor_execute", lambda *about: words.append(about[2].split()[0]))
        event.listen(database._engine, "commit", lambda _connection: words.append("COMMIT by SQLAlchemy"))
    return words


TRANSACTION = ["BEGIN", "SELECT", "UPDATE", "COMMIT"]
SWEEP = {
    "sqlite": ["BEGIN", "SELECT", "COMMIT"],
    "mysql": ["SELECT", "BEGIN", "SELECT", "COMMIT", "SELECT"],
    "postgresql": ["BEGIN", "SELECT", "SELECT", "COMMIT"],
}


def statements(store: SqlStore, sent: list[str]) -> dict[str, list[str]]:
    """Return what each operation of the docstring sends."""
    seen: dict[str, list[str]] = {}

    def watch(name: str, call: Any) -> None:
        sent.clear()
        call()
        seen[name] = sent.copy()

    watch("create", lambda: store.create(KEY, {"a": b"1"}, "alice", HOUR))
    watch("create, taken", lambda: store.create(KEY, {}, None, HOUR))
    watch("load", lambda: store.load(KEY))
    watch("load, absent", lambda: store.load(OTHER))
    watch("update", lambda: store.update(KEY, Changes({"a": b"2"}, expect={"a": b"1"}), HOUR))
    watch("update, conflict", lambda: store.update(KEY, Changes({"a": b"2"}, expect={"a": b"1"}), HOUR))
    watch("update, touch", lambda: store.update(KEY, Changes(), HOUR))
    watch("ping", store.ping)
    watch("keys_of", lambda: store.keys_of("alice"))
    watch("page_of", lambda: store.page_of("alice", 0, 2))
    watch("count", store.count)
    watch("keys", lambda: list(store.keys()))
    watch("retire, conflict", lambda: store.retire(KEY, SessionMark(), structs.replace(load(store), fields={})))
    watch("retire", lambda: store.retire(KEY, SessionMark(b"next"), load(store)))
    watch("retire, ended", lambda: store.retire(KEY, SessionMark()))
    watch("retire, absent", lambda: store.retire(OTHER, SessionMark()))
    store.create(KEY, {}, "alice", HOUR)
    watch("end_many, beside a mark", lambda: store.end_many([KEY, OTHER]))
    store.create("c" * 64, {}, "alice", HOUR)
    watch("end_many", lambda: store.end_many(["c" * 64]))
    watch("update, ended", lambda: store.update(KEY, Changes({"a": b"2"}), HOUR))
    store.create(KEY, {}, "alice", HOUR)
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
        "page_of": ["SELECT"],
        "count": ["SELECT"],
        "keys": ["SELECT"],
        "retire, conflict": ["SELECT", "UPDATE", "BEGIN", "SELECT", "COMMIT"],
        "retire": ["SELECT", "UPDATE"],
        "retire, ended": ["UPDATE", "BEGIN", "SELECT", "SELECT", "COMMIT"],
        "retire, absent": ["UPDATE", "BEGIN", "SELECT", "SELECT", "DELETE", "INSERT", "COMMIT"],
        "end_many, beside a mark": ["BEGIN", "SELECT", "DELETE", "UPDATE", "COMMIT"],
        "end_many": TRANSACTION,
        "update, ended": ["BEGIN", "SELECT", "SELECT", "COMMIT"],
        "delete": ["DELETE"],
        "quarantine": ["UPDATE"],
        "sweep, nothing": SWEEP[store._database._engine.dialect.name],
    }


def test_several_nodes_create_the_schema_at_once(harness: SqlHarness) -> None:
    with harness.engine.begin() as connection:
        metadata.drop_all(connection)
    stores = [SqlStore.from_url(harness.url, PATIENT) for _ in range(6)]
    barrier = threading.Barrier(len(stores))

    def create(store: SqlStore) -> None:
        barrier.wait()
        store.create_schema()

    try:
        in_threads(*(partial(create, store) for store in stores))
        assert stores[0].create(KEY, {"a": b"1"}, None, HOUR) is not None
        stores[1].create_schema()
        assert stores[2].load(KEY) is not None
    finally:
        harness.sql.create_schema()
        for store in stores:
            store.close()


def test_a_missing_index_is_created(harness: SqlHarness, store: SqlStore) -> None:
    (index,) = [index for index in sessions.indexes if index.name == "sessions_by_owner"]
    with harness.engine.begin() as connection:
        index.drop(connection)
    store.create_schema()
    with harness.engine.begin() as connection:
        index.drop(connection)
        index.create(connection)


def test_a_table_of_another_application_is_refused_by_name(harness: SqlHarness) -> None:
    own = SqlStore.from_url(harness.url, PATIENT, table="foreign_sessions")
    own.check_schema()  # it is missing
    with harness.engine.begin() as connection:
        connection.execute(text("CREATE TABLE foreign_sessions (id INTEGER PRIMARY KEY, owner INTEGER)"))
    try:
        for check in (own.create_schema, own.check_schema):
            with pytest.raises(ForeignTable, match=r"`foreign_sessions` .* lacks the columns key, set_aside, created"):
                check()
        with pytest.raises(StoreUnavailable, match="`foreign_sessions` is not a table of sessions"):
            own.load(KEY)
    finally:
        own.close()
        with harness.engine.begin() as connection:
            connection.execute(text("DROP TABLE foreign_sessions"))


def test_a_missing_table_is_unavailable_and_the_error_names_the_fix(harness: SqlHarness, store: SqlStore) -> None:
    with harness.engine.begin() as connection:
        metadata.drop_all(connection)
    try:
        for call in (lambda: store.load(KEY), store.ping, lambda: store.create(KEY, {}, None, HOUR), store.sweep):
            with pytest.raises(StoreUnavailable, match=r"call the store.s create_schema\(\) once"):
                call()
    finally:
        store.create_schema()


DAMAGES = [{"fields": b"\xc1"}, {"format": 0}, {"created": -1}, {"created": 253_402_300_800_000}]


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_corrupt_row_is_quarantined_for_a_day(
    harness: SqlHarness, store: SqlStore, damage: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    store.create(KEY, {"a": b"secret"}, "alice", HOUR)
    harness.change(KEY, **damage)
    with caplog.at_level(logging.ERROR, "nodes.sessions"):
        assert store.load(KEY) is None
    assert f"session {KEY} is corrupt and was quarantined" in caplog.text
    with harness.engine.connect() as connection:
        row = connection.execute(select(sessions)).mappings().one()
    assert row["set_aside"] > 0
    assert damage.items() <= dict(row).items()
    assert (store.keys_of("alice"), store.count(), list(store.keys()), store.sweep()) == ([], 0, [], 0)
    harness.advance(24 * 60 * 60 + 1)
    reported: list[str] = []
    assert store.sweep(on_expired=reported.append) == 1
    assert reported == []


def test_an_update_quarantines_a_corrupt_row(
    harness: SqlHarness, store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    harness.damage(KEY)
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.ABSENT
    assert f"session {KEY} is corrupt and was quarantined" in caplog.text
    assert store.create(KEY, {}, None, HOUR) is not None


@pytest.mark.parametrize("owner", ["x" * 256, "a\0b"])
def test_an_owner_that_not_every_database_can_hold_is_refused(store: SqlStore, owner: str) -> None:
    with pytest.raises(ValueError, match=r"^owner must have 1 to 255 characters"):
        store.create(KEY, {}, owner, HOUR)
    assert store.load(KEY) is None


def create_expired(harness: SqlHarness, store: SqlStore, number: int) -> None:
    for each in range(number):
        store.create(f"{each:064x}", {}, None, HOUR)
    harness.advance(601)


def test_a_sweep_beside_another_one_returns_at_once(harness: SqlHarness, store: SqlStore) -> None:
    create_expired(harness, store, 130)  # of which a transaction takes 100 and leaves the others unlocked
    other = SqlStore(make_engine(harness.url, Budgets(10, 0.2, retries=0, deadline=20)))
    found: list[int] = []

    def sweep_too() -> None:
        try:
            found.append(other.sweep())
        except StoreUnavailable:  # SQLite only says that another process writes
            assert harness.engine.dialect.name == "sqlite"
            found.append(0)

    other.ping()
    before_statement(store._housekeeping._engine, "DELETE", lambda _connection: sweep_too())
    assert (store.sweep(), found) == (130, [0])
    assert other.sweep() == 0
    other.close()


def fail(_connection: Connection) -> None:
    raise ArithmeticError


def test_a_sweep_that_fails_releases_its_lock(harness: SqlHarness, store: SqlStore) -> None:
    create_expired(harness, store, 3)
    before_statement(store._housekeeping._engine, "DELETE", fail)
    with pytest.raises(ArithmeticError):
        store.sweep()
    other = SqlStore.from_url(harness.url, PATIENT)
    assert other.sweep() == 3
    other.close()


def test_a_failed_write_leaves_its_connection_as_it_was(harness: SqlHarness, store: SqlStore) -> None:
    """With one connection, a transaction left open would swallow the next write, or keep its lock."""
    single = SqlStore(make_engine(harness.url, PATIENT))
    store.create(KEY, {"a": b"1"}, None, HOUR)
    before_statement(single._database._engine, "UPDATE", fail)
    with pytest.raises(ArithmeticError):
        single.update(KEY, Changes({"a": b"2"}), HOUR)
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    assert single.create(OTHER, {}, None, HOUR) is not None
    assert store.load(OTHER) is not None
    single.close()


def test_the_server_may_have_a_name_instead_of_an_address(harness: SqlHarness) -> None:
    named = SqlStore.from_url(harness.url.replace("127.0.0.1", "localhost"), PATIENT)
    assert named.load(KEY) is None
    named.close()


def test_the_caller_may_give_an_engine_in_any_mode(harness: SqlHarness) -> None:
    encoding = {"client_encoding": "utf8"} if harness.engine.dialect.name == "postgresql" else {}
    plain = SqlStore(create_engine(harness.engine.url, connect_args=encoding))
    assert plain.create(KEY, {"a": b"1"}, "alice", HOUR) is not None
    assert plain.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    plain.delete(KEY)
    assert plain.load(KEY) is None
    plain.close()


@pytest.mark.parametrize("url", ["oracle://db/x", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_keep_sessions_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"one of sqlite|names no file"):
        SqlStore.from_url(url)


@pytest.mark.parametrize("url", ["sqlite://", "mysql+pymysql://", "postgresql+psycopg://"])
def test_the_manual_prints_the_schema_as_it_is(url: str) -> None:
    page = (ROOT / "docs/sql.md").read_text()
    assert "\n".join(f"    {line}".rstrip() for line in ddl(url).splitlines()) in page


def test_a_row_above_the_bound_is_unknown_until_its_logout(harness: SqlHarness, store: SqlStore) -> None:
    bound = 100_000
    store.create(KEY, {"a": bytes(bound)}, "alice", HOUR)
    own = SqlStore.from_url(harness.url, replace(PATIENT, max_reply=bound))
    try:
        for call in (lambda: own.load(KEY), lambda: own.update(KEY, Changes({"a": b"2"}), HOUR)):
            with pytest.raises(StoreUnavailable, match="more than 100000 bytes"):
                call()
        assert own.keys_of("alice") == [KEY]
        own.delete(KEY)
        assert own.load(KEY) is None
    finally:
        own.close()


def test_a_session_that_no_node_could_read_is_not_written(harness: SqlHarness, store: SqlStore) -> None:
    own = SqlStore.from_url(harness.url, replace(PATIENT, max_reply=65536))
    try:
        own.create(KEY, {"a": b"1"}, None, HOUR)
        with pytest.raises(SessionTooLarge, match="at most 65536 bytes"):
            own.update(KEY, Changes({"a": bytes(65536)}), HOUR)
        assert load(own).fields == {"a": b"1"}
    finally:
        own.close()
