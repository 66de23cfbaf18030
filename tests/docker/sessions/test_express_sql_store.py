"""What express-mysql-session's table asks of the store beyond the contract."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from nodes.sessions import Changes, Lifetime, Outcome, StoreUnavailable
from nodes.sessions.stores.express_sql import ExpressSqlStore
from tests.support.harnesses.express_sql import ExpressSqlHarness
from tests.support.sql_servers import PATIENT

pytestmark = pytest.mark.docker

KEY, OTHER = "Zk3-_" * 6 + "ab", "b" * 32
HOUR = Lifetime(idle=600, absolute=3600)
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}
THEIRS = """
    CREATE TABLE `sessions` (
      `session_id` varchar(128) COLLATE utf8mb4_bin NOT NULL,
      `expires` int(11) unsigned NOT NULL,
      `data` mediumtext COLLATE utf8mb4_bin,
      PRIMARY KEY (`session_id`)
    ) ENGINE=InnoDB
"""  # express-mysql-session 3.0.3, schema.sql


@pytest.fixture
def harness(express_sql_harness: ExpressSqlHarness) -> ExpressSqlHarness:
    express_sql_harness.clear()
    return express_sql_harness


@pytest.fixture
def store(harness: ExpressSqlHarness) -> Iterator[ExpressSqlStore]:
    """Of this test alone, and connected."""
    own = ExpressSqlStore.from_url(harness.url, PATIENT)
    own.ping()
    own.count()
    yield own
    own.close()


def run(harness: ExpressSqlHarness, statement: str, **values: Any) -> list[Any]:
    """As another client, by the real clock."""
    with harness.engine.connect() as connection:
        result = connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def put(harness: ExpressSqlHarness, session: Any, seconds: int = 600, key: str = KEY) -> None:
    """As express-mysql-session does."""
    upsert = (
        "INSERT INTO sessions (session_id, expires, data) VALUES (:key, UNIX_TIMESTAMP() + :seconds, :data)"
        " ON DUPLICATE KEY UPDATE expires = VALUES(expires), data = VALUES(data)"
    )
    data = json.dumps({"cookie": COOKIE} | session) if isinstance(session, dict) else session
    run(harness, upsert, key=key, seconds=seconds, data=data)


def fields(store: ExpressSqlStore) -> dict[str, bytes] | None:
    record = store.load(KEY)
    return dict(record.fields) if record else None


def beforehand(store: ExpressSqlStore, word: str, act: Callable[[], object]) -> list[str]:
    """Lets Express act once, before the store's first statement that begins with `word`; answers all first words."""
    sent: list[str] = []

    def executing(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement.split()[0])
        if sent[-1] == word and sent.count(word) == 1:
            act()

    for database in (store._database, store._housekeeping):
        event.listen(database._engine, "before_cursor_execute", executing)
    return sent


def test_the_table_is_the_one_that_express_makes(harness: ExpressSqlHarness, store: ExpressSqlStore) -> None:
    show = "SHOW CREATE TABLE sessions"
    run(harness, "DROP TABLE sessions")
    threads = [threading.Thread(target=store.create_schema) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours = run(harness, show)
    run(harness, "DROP TABLE sessions")
    run(harness, THEIRS)
    store.create_schema()
    assert run(harness, show) == ours


def test_a_new_session_is_what_express_writes(harness: ExpressSqlHarness, store: ExpressSqlStore) -> None:
    created = store.create(KEY, {"visits": b"1", "name": '"\U0001f36e"'.encode()}, "alice", HOUR)
    assert created is not None
    ((key, expires, data),) = run(harness, "SELECT session_id, expires, data FROM sessions")
    assert (key, expires) == (KEY, int(created + 600))
    assert json.loads(data) == {
        "cookie": COOKIE,
        "user": "alice",
        "visits": 1,
        "name": "\U0001f36e",
        "_created": round(created * 1000),
    }


def test_each_operation_sends_what_its_docstring_says(store: ExpressSqlStore) -> None:
    sent = beforehand(store, "", lambda: None)

    def words(call: Callable[[], Any]) -> list[str]:
        sent.clear()
        call()
        return list(sent)

    assert words(lambda: store.create(KEY, {"a": b"1"}, None, HOUR)) == ["SELECT", "INSERT"]
    assert words(lambda: store.create(KEY, {"a": b"1"}, None, HOUR)) == [
        "SELECT",
        "INSERT",
        "BEGIN",
        "DELETE",
        "COMMIT",
    ]
    assert words(lambda: store.load(KEY)) == ["SELECT"]
    assert words(lambda: store.update(KEY, Changes({"a": b"2"}), HOUR)) == ["SELECT", "UPDATE"]
    assert words(lambda: store.update(KEY, Changes(), HOUR)) == ["SELECT", "UPDATE"]
    assert words(store.ping) == ["SELECT"]
    assert words(store.count) == ["SELECT"]
    assert words(lambda: list(store.keys())) == ["SELECT"]
    assert words(lambda: store.delete(KEY)) == ["BEGIN", "SELECT", "DELETE", "COMMIT"]
    assert words(lambda: store.set_aside(KEY)) == ["UPDATE"]
    assert words(store.sweep) == ["SELECT", "BEGIN", "SELECT", "COMMIT", "SELECT"]


def test_a_touch_writes_nothing_but_the_time(harness: ExpressSqlHarness, store: ExpressSqlStore) -> None:
    put(harness, '{ "cookie" : {} , "a" : 1 }', seconds=60)
    assert store.update(KEY, Changes(), HOUR) is Outcome.APPLIED
    record = store.load(KEY)
    assert record is not None
    assert 598 < record.ttl <= 600
    assert run(harness, "SELECT data FROM sessions") == [('{ "cookie" : {} , "a" : 1 }',)]


# ---- the other side, at the same time


@pytest.mark.parametrize("theirs", [{"a": "x", "b": 2}, {"a": "X", "b": 1}])
def test_a_write_of_express_s_in_between_is_merged_and_not_overwritten(
    harness: ExpressSqlHarness, store: ExpressSqlStore, theirs: dict[str, Any]
) -> None:
    put(harness, {"a": "x", "b": 1})
    sent = beforehand(store, "UPDATE", lambda: put(harness, theirs))
    assert store.update(KEY, Changes({"c": b"3"}), HOUR) is Outcome.APPLIED
    assert sent == ["SELECT", "UPDATE", "SELECT", "UPDATE"]
    assert fields(store) == {name: json.dumps(value).encode() for name, value in theirs.items()} | {"c": b"3"}


def test_it_is_noticed_in_a_column_that_takes_upper_for_lower_case(
    harness: ExpressSqlHarness, store: ExpressSqlStore
) -> None:
    run(harness, "ALTER TABLE sessions MODIFY data MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    try:
        put(harness, {"a": "x"})
        beforehand(store, "UPDATE", lambda: put(harness, {"a": "X"}))
        assert store.update(KEY, Changes({"c": b"3"}), HOUR) is Outcome.APPLIED
        assert fields(store) == {"a": b'"X"', "c": b"3"}
    finally:
        run(harness, "DROP TABLE sessions")
        store.create_schema()


def test_a_compare_and_set_sees_what_express_wrote_in_between(
    harness: ExpressSqlHarness, store: ExpressSqlStore
) -> None:
    put(harness, {"a": 1})
    beforehand(store, "UPDATE", lambda: put(harness, {"a": 2}))
    assert store.update(KEY, Changes({"a": b"3"}, expect={"a": b"1"}), HOUR) is Outcome.CONFLICT
    assert fields(store) == {"a": b"2"}


@pytest.mark.parametrize("changes", [Changes({"a": b"3"}), Changes()])
def test_a_logout_of_express_s_in_between_wins(
    harness: ExpressSqlHarness, store: ExpressSqlStore, changes: Changes
) -> None:
    put(harness, {"a": 1})
    beforehand(store, "UPDATE", lambda: run(harness, "DELETE FROM sessions"))
    assert store.update(KEY, changes, HOUR) is Outcome.ABSENT
    assert run(harness, "SELECT * FROM sessions") == []


def test_what_expires_in_between_is_not_revived(harness: ExpressSqlHarness, store: ExpressSqlStore) -> None:
    put(harness, {"a": 1})
    beforehand(store, "UPDATE", lambda: put(harness, {"a": 1}, seconds=-1))
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.ABSENT


# ---- what is damaged, and what is wrong


@pytest.mark.parametrize("data", ["{broken", "", None, "[]", '{"user":"alice"}'])
def test_a_damaged_row_is_kept_for_a_day_under_its_hash(
    harness: ExpressSqlHarness, caplog: pytest.LogCaptureFixture, data: str | None
) -> None:
    store = harness.sql
    with caplog.at_level(logging.ERROR):
        for _ in range(2):  # the same id can be damaged again
            put(harness, data)
            assert store.load(KEY) is None
    assert KEY not in caplog.text
    assert run(harness, "SELECT data FROM sessions WHERE session_id LIKE 'damaged:%'") == [(data,)] * 2
    assert run(harness, "SELECT * FROM sessions WHERE session_id NOT LIKE 'damaged:%'") == []
    assert (store.count(), list(store.keys()), store.sweep()) == (0, [], 0)
    harness.advance(86_401)
    assert store.sweep() == 2


def test_another_database_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="can't be in postgresql://; use mysql:// or mariadb://"):
        ExpressSqlStore.from_url("postgresql://u:p@h/db")


def test_a_table_of_another_kind_is_unavailable_and_never_absent(
    harness: ExpressSqlHarness, store: ExpressSqlStore
) -> None:
    run(harness, "DROP TABLE sessions")
    try:
        with pytest.raises(StoreUnavailable, match="the table `sessions` is missing"):
            store.load(KEY)
        run(harness, "CREATE TABLE sessions (`key` INT)")
        with pytest.raises(StoreUnavailable, match="Unknown column"):
            store.load(KEY)
    finally:
        run(harness, "DROP TABLE IF EXISTS sessions")
        store.create_schema()
