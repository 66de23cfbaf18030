"""Statements and transactions within budgets: what is tried again, what is not, and the one error that is left."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..budgets import Budgets
from ..store import StoreUnavailable
from .sql_errors import may_be_passing, unavailable, was_rolled_back
from .sql_turns import around_transaction, within_transaction

T = TypeVar("T")

BATCH = 100
"""How many expired rows one transaction of a sweep takes, so that nobody waits long for it."""
PAGE = 1000
_CREATORS = 5
"""How often `create` looks again when others make the same tables at the same time."""


class Database:
    """One engine, in autocommit mode. Each method raises `StoreUnavailable` and nothing else of SQLAlchemy's."""

    def __init__(self, engine: Engine, budgets: Budgets, table: str = "sessions") -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._budgets = budgets
        self._table = table
        self._begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"

    @property
    def deletes_returning(self) -> bool:
        """Whether a DELETE can return what it deleted. For a mysql:// URL, known once it has connected."""
        return self._engine.dialect.delete_returning

    def read(self, work: Callable[[Connection], T]) -> T:
        """What changes nothing: tried again where that may help."""
        return self._attempt(work, may_be_passing)

    def write(self, work: Callable[[Connection], T]) -> T:
        """One statement that changes something. Where no answer came it may have been applied: never sent again."""
        return self._attempt(work, was_rolled_back)

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """Statements that apply together or not at all. Until COMMIT is sent nothing is applied: tried again."""

        def within(connection: Connection) -> T:
            with self._transaction(connection):
                return work(connection)

        return self._attempt(within, may_be_passing)

    def once(self, work: Callable[[Connection], T]) -> T:
        """Never tried again."""
        return self._attempt(work, lambda _error: False)

    def create(self, make_missing: Callable[[Connection], None]) -> None:
        """Makes tables and indexes where they are missing. Several processes may do so at once."""
        for _ in range(_CREATORS - 1):
            try:
                return self.once(make_missing)
            except StoreUnavailable as error:
                if not isinstance(error.__cause__, DBAPIError):
                    raise
                # What was missing a moment ago exists, or another node is making it: look again.
        return self.once(make_missing)

    def pages(self, keys: Select[str]) -> Iterator[str]:
        """What `keys` selects, page by page: up to `_limit` keys that come after `_after`."""
        after = ""
        while True:
            page = self.read(partial(_page, keys=keys, after=after))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1]

    def in_batches(self, take: Callable[[Connection, int], Sequence[T]], limit: int) -> Iterator[Sequence[T]]:
        """What `take` took, in transactions of up to `BATCH` rows, until none is left or they are `limit`.

        Each batch is handed out once its transaction is over. Ends at once where another process is at it (see
        `sql_turns`).
        """
        taken = 0
        while taken < limit:
            size = min(BATCH, limit - taken)
            batch = self._attempt(partial(self._in_turn, take=take, size=size), may_be_passing)
            yield batch
            taken += len(batch)
            if len(batch) < size:
                break

    def _in_turn(
        self, connection: Connection, take: Callable[[Connection, int], Sequence[T]], size: int
    ) -> Sequence[T]:
        with around_transaction(connection, self._table) as is_mine:
            if not is_mine:
                return ()
            with self._transaction(connection):
                return take(connection, size) if within_transaction(connection, self._table) else ()

    def dispose(self) -> None:
        self._engine.dispose()

    def _attempt(self, work: Callable[[Connection], T], again: Callable[[BaseException], bool]) -> T:
        until = time.monotonic() + self._budgets.deadline
        retries = self._budgets.retries
        while True:
            try:
                with self._engine.connect() as connection:
                    return work(connection)
            except (SQLAlchemyError, OSError) as error:
                if not retries or time.monotonic() >= until or not again(error):
                    raise unavailable(error, self._engine.dialect.name, self._table) from error
            retries -= 1

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        connection.exec_driver_sql(self._begin)
        try:
            yield
        except BaseException:
            _roll_back(connection)
            raise
        try:
            connection.exec_driver_sql("COMMIT")
        except DBAPIError as error:
            _roll_back(connection)
            if was_rolled_back(error):
                raise
            raise StoreUnavailable(f"{self._engine.dialect.name}: no answer to COMMIT: {error.orig}") from error


def _roll_back(connection: Connection) -> None:
    """So that the connection can be used again; where that fails it can't, and the server rolls back by itself."""
    if connection.invalidated:
        return
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        return  # SQLite itself did, as it does where the disk fails; to close it then may be to close it for good
    try:
        connection.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError:
        connection.invalidate()


def _page(connection: Connection, keys: Select[str], after: str) -> Sequence[str]:
    return connection.execute(keys, {"_after": after, "_limit": PAGE}).scalars().all()
