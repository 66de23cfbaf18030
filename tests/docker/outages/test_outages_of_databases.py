"""The rows of docs/outages.md that are about MySQL and PostgreSQL."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from nodes.sessions.stores.sql.engine import make_engine
from tests.integration.outages.conftest import Start
from tests.integration.outages.rows import READ, WRITE, row
from tests.support.node import RunningNode
from tests.support.sql_servers import PATIENT, SqlServer

pytestmark = pytest.mark.docker

BUDGETS = {"STORE_CONNECT_TIMEOUT": "1", "STORE_READ_TIMEOUT": "1", "STORE_RETRIES": "0", "STORE_DEADLINE": "1"}
FILLERS = (3000, 1000, 300, 1)
"""Sizes in bytes of the rows that take what room is left in the table's file."""


@dataclass
class Database:
    """A server, and a database of a node's own in it."""

    name: str
    server: SqlServer
    url: str
    node: RunningNode

    def run(self, *statements: str) -> None:
        engine = make_engine(self.url, PATIENT)
        try:
            with engine.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
        finally:
            engine.dispose()

    def change(self, key: str, values: str) -> None:
        column = "`key`" if self.name == "MySQL" else "key"
        self.run(f"UPDATE sessions SET {values} WHERE {column} = '{key}'")

    def fill(self) -> None:
        """Inserts rows, large ones first, until not even the smallest finds a place."""
        insert = text("INSERT INTO sessions VALUES (:key, 0, NULL, 1795000000000, 4102444800000, :final, 1, :fields)")
        engine = make_engine(self.url, PATIENT)
        with engine.connect() as connection:
            for size in FILLERS:
                refused = 0
                while refused < (50 if size == FILLERS[-1] else 1):
                    values = {"key": secrets.token_hex(32), "final": False, "fields": bytes(size)}
                    try:
                        connection.execute(insert, values)
                    except DBAPIError:
                        refused += 1
                    else:
                        refused = 0
        engine.dispose()


@pytest.fixture(scope="module", params=["MySQL", "PostgreSQL"])
def database(request: pytest.FixtureRequest, start: Start) -> Database:
    server: SqlServer = request.getfixturevalue("mysql" if request.param == "MySQL" else "postgres")
    url = server.database("outages")
    node = start(SESSION_STORE="sql", DATABASE_URL=url, DATABASE_CREATE_SCHEMA="on", **BUDGETS)
    return Database(request.param, server, url, node)


def fault(database: Database, *names: str) -> str:
    """Return the name for the database, of MySQL's and PostgreSQL's."""
    return names[database.name == "PostgreSQL"]


def test_responses_match_the_table_while_a_database_is_killed(database: Database) -> None:
    with row(fault(database, "MySQL killed", "PostgreSQL killed"), database.node) as sql, database.server.killed():
        sql.observe()


def test_responses_match_the_table_while_a_database_is_silent(database: Database) -> None:
    with row(fault(database, "MySQL silent", "PostgreSQL silent"), database.node) as sql, database.server.paused():
        started = time.monotonic()
        assert sql.alice.observe(READ) == "503"
        assert time.monotonic() - started < 4  # the deadline is 1 s, on a machine that may be busy
        sql.observe()


def test_responses_match_the_table_while_the_disk_of_a_database_is_full(database: Database) -> None:
    with row(fault(database, "MySQL: disk full", "PostgreSQL: disk full"), database.node) as sql:
        if database.name == "PostgreSQL":
            database.run("VACUUM sessions", "SELECT pg_switch_wal()", "CHECKPOINT")
        with database.server.without_room():
            database.fill()
            sql.observe()
        database.run("DELETE FROM sessions WHERE expires = 4102444800000")


def test_responses_match_the_table_when_a_row_of_a_database_is_damaged(database: Database) -> None:
    broken = fault(database, "X'C1'", "'\\xC1'")
    with row(fault(database, "MySQL: record damaged", "PostgreSQL: record damaged"), database.node) as sql:
        database.change(sql.alice.session_key(), f"fields = {broken}")
        sql.observe()


def test_responses_match_the_table_when_a_row_of_a_database_has_a_later_version(database: Database) -> None:
    name = fault(database, "MySQL: record of a later version", "PostgreSQL: record of a later version")
    with row(name, database.node) as sql:
        database.change(sql.alice.session_key(), "format = 2")
        assert (sql.alice.observe(READ), sql.alice.observe(WRITE)) == ("503", "503")
        sql.observe()
