"""The rows of docs/outages.md that are about MySQL and PostgreSQL."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from nodes.sessions.stores.sql.engine import make_engine
from tests.integration.outages.conftest import Start
from tests.integration.outages.holding import hold, key_of
from tests.integration.outages.observed import READ, WRITE, AliceBrowser
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


ROWS = {  # each name as a whole, for who looks for it
    "killed": ("MySQL killed", "PostgreSQL killed"),
    "silent": ("MySQL silent", "PostgreSQL silent"),
    "full": ("MySQL: disk full", "PostgreSQL: disk full"),
    "damaged": ("MySQL: record damaged", "PostgreSQL: record damaged"),
    "later": ("MySQL: record of a later version", "PostgreSQL: record of a later version"),
}


def row(database: Database, fault: str) -> str:
    return ROWS[fault][database.name == "PostgreSQL"]


def test_killed(database: Database) -> None:
    hold(row(database, "killed"), database.node, lambda _: database.server.killed())


def test_silent(database: Database) -> None:
    @contextmanager
    def silent(alice: AliceBrowser) -> Iterator[None]:
        with database.server.paused():
            started = time.monotonic()
            assert alice.observe(READ) == "503"
            assert time.monotonic() - started < 4  # the deadline is 1 s, on a machine that may be busy
            yield

    hold(row(database, "silent"), database.node, silent)


def test_disk_full(database: Database) -> None:
    @contextmanager
    def full(_: AliceBrowser) -> Iterator[None]:
        if database.name == "PostgreSQL":
            database.run("VACUUM sessions", "SELECT pg_switch_wal()", "CHECKPOINT")
        with database.server.without_room():
            database.fill()
            yield
        database.run("DELETE FROM sessions WHERE expires = 4102444800000")

    hold(row(database, "full"), database.node, full)


def test_record_damaged(database: Database) -> None:
    def damage(alice: AliceBrowser) -> AbstractContextManager[None]:
        broken = "X'C1'" if database.name == "MySQL" else "'\\xC1'"
        database.run(f"UPDATE sessions SET fields = {broken} WHERE {at(database)} = '{key_of(alice)}'")
        return nullcontext()

    hold(row(database, "damaged"), database.node, damage)


def test_record_of_a_later_version(database: Database) -> None:
    @contextmanager
    def renew(alice: AliceBrowser) -> Iterator[None]:
        database.run(f"UPDATE sessions SET format = 2 WHERE {at(database)} = '{key_of(alice)}'")
        assert (alice.observe(READ), alice.observe(WRITE)) == ("503", "503")
        yield

    hold(row(database, "later"), database.node, renew)


def at(database: Database) -> str:
    return "`key`" if database.name == "MySQL" else "key"
