"""The SQL store on MariaDB and PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from nodes.sessions import Changes
from nodes.sessions.stores.sql import SqlStore
from tests.docker import conftest
from tests.integration.sessions.test_sql_store import *  # noqa: F403
from tests.integration.sessions.test_sql_store import statements
from tests.support.harnesses.sql import SqlHarness
from tests.support.records import HOUR, KEY
from tests.support.sql_servers import PATIENT

store_name = conftest.store_name  # instead of SQLite


@pytest.mark.parametrize("store_name", ["mysql"])
def test_mysql_without_returning_takes_more_statements_for_the_same_results(store: SqlStore, sent: list[str]) -> None:
    """MySQL, which differs from MariaDB in this."""
    store._database._engine.dialect.insert_returning = False
    seen = statements(store, sent)
    assert seen["create"] == ["SELECT", "INSERT"]
    assert seen["create, taken"] == ["SELECT", "INSERT", "BEGIN", "DELETE", "COMMIT"]
    assert store.create(KEY, {"a": b"1"}, "alice", HOUR, created=store.ping() - 100) == pytest.approx(
        store.ping() - 100, abs=5
    )


@pytest.mark.parametrize("store_name", ["mysql"])
def test_the_driver_adds_nothing_to_what_is_sent(harness: SqlHarness) -> None:
    """PyMySQL would send a ROLLBACK with each connection that goes back to the pool. Counted by the server."""
    store = SqlStore.from_url(harness.url, PATIENT)
    store.ping()

    def questions() -> int:
        question = text("SHOW SESSION STATUS LIKE 'Questions'")
        return int(store._database.read(lambda connection: connection.execute(question).one()[1]))

    own = -questions() + questions()
    for call, expected in ((lambda: store.load(KEY), 1), (lambda: store.update(KEY, Changes({"a": b""}), HOUR), 4)):
        before = questions()
        call()
        assert questions() - before - own == expected
    store.close()
