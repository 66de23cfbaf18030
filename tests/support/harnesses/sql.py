"""The harness of SQLite, MySQL and PostgreSQL; and calls between two statements of a store."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, event, select, update

from nodes.sessions import Budgets, Store
from nodes.sessions.stores.sql import SqlStore
from nodes.sessions.stores.sql.engine import make_engine
from nodes.sessions.stores.sql.statements import now_ms, sessions
from tests.support.harness import Through
from tests.support.sql_servers import PATIENT, SqlServer


class SqlHarness:
    """A real database. Its clock can't be turned, so `advance` makes its rows older."""

    def __init__(self, url: str, silence: Callable[[], AbstractContextManager[None]]) -> None:
        self.url = url
        self.sql = SqlStore.from_url(url, PATIENT)
        self.sql.create_schema()
        self.engine: Engine = make_engine(url, PATIENT)
        self._through = Through(self.sql)
        # PyMySQL reads the system's certificates for each connection that may become TLS, which takes 20 ms.
        hasty = f"{url}?ssl_disabled=1" if url.startswith("mysql") else url
        self._hasty = SqlStore.from_url(hasty, Budgets(0.02, 0.02, retries=0, deadline=0.1))
        self.store: Store = self._through
        self._silence = silence

    def advance(self, seconds: float) -> None:
        moved = round(seconds * 1000)
        with self.engine.begin() as connection:
            connection.execute(
                update(sessions).values(created=sessions.c.created - moved, expires=sessions.c.expires - moved)
            )

    def change(self, key: str, **values: object) -> None:
        """Overwrite columns of the session's row."""
        with self.engine.begin() as connection:
            connection.execute(update(sessions).where(sessions.c.key == key).values(values))

    def damage(self, key: str) -> None:
        self.change(key, fields=b"\xc1")

    def set_format(self, key: str, number: int) -> None:
        """Make the record one that another version wrote."""
        self.change(key, format=number)

    def keys(self) -> set[str]:
        live = select(sessions.c.key).where(sessions.c.set_aside == 0, sessions.c.expires > now_ms())
        with self.engine.connect() as connection:
            return set(connection.execute(live).scalars())

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        if self.engine.dialect.name == "sqlite":
            self.close()
        with self._silence(), self._through.through(self._hasty):
            yield
            self._hasty.close()

    def clear(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(sessions))

    def close(self) -> None:
        self.sql.close()
        self._hasty.close()
        self.engine.dispose()


def before_statement(engine: Engine, word: str, call: Callable[[Connection], object]) -> list[str]:
    """Call `call` once, before the first statement that begins with `word`. Return the first words of all statements,
    to which each later statement adds its own."""
    sent: list[str] = []

    def executing(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement.split()[0])
        if sent[-1] == word and sent.count(word) == 1:
            call(connection)

    event.listen(engine, "before_cursor_execute", executing)
    return sent


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Lock a SQLite database that nothing has open, as if its server were silent."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=20)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


@pytest.fixture(scope="session")
def sqlite_harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlHarness]:
    path = str(tmp_path_factory.mktemp("sqlite") / "sessions.db")
    with closing(SqlHarness(f"sqlite:///{path}", lambda: locked(path))) as harness:
        yield harness


@pytest.fixture(scope="session")
def mysql_harness(mysql: SqlServer) -> Iterator[SqlHarness]:
    with closing(SqlHarness(mysql.url, mysql.paused)) as harness:
        yield harness


@pytest.fixture(scope="session")
def postgres_harness(postgres: SqlServer) -> Iterator[SqlHarness]:
    with closing(SqlHarness(postgres.url, postgres.paused)) as harness:
        yield harness
