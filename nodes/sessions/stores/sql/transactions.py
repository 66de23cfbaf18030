"""What the errors of the databases mean: SQLAlchemy gives them one type, and each keeps its own codes.

----

Of several processes that sweep a database, one is at work at a time: the others are told so at once.

The database keeps the lock, for the connection or the transaction that asked for it, so whoever dies gives it back. Who
hangs loses it when the database ends the transaction for being idle: PostgreSQL and MariaDB after four times the read
timeout; MySQL, which knows no such limit, with the connection (`sql_engine.LONGEST_IDLE`). A BEGIN IMMEDIATE of SQLite
is a lock already.


----

Statements and transactions within budgets: what is tried again, what is not, and the one error that is left."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, Select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from ...store import Budgets, StoreUnavailable

_VICTIM = {1213, 1020, "40001", "40P01"}
"""MySQL: deadlock; MariaDB: the row changed since the snapshot. PostgreSQL: serialization failure, deadlock."""
_NO_TABLE = {1146, "42P01"}


def _code(error: DBAPIError) -> int | str | None:
    """MySQL's number or PostgreSQL's SQLSTATE; None for SQLite, which has neither."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return first if isinstance(first, int) else getattr(error.orig, "sqlstate", None)


def was_rolled_back(error: BaseException) -> bool:
    """Whether the database itself gave the transaction up, so that certainly nothing of it was applied."""
    return isinstance(error, DBAPIError) and _code(error) in _VICTIM


def may_be_passing(error: BaseException) -> bool:
    """Whether asking again, on a fresh connection, may well succeed."""
    return isinstance(error, OperationalError | InterfaceError) or was_rolled_back(error)


def unavailable(error: BaseException, database: str, table: str) -> StoreUnavailable:
    """The one error of a store, without the statement and its parameters: those are a session's content."""
    if not isinstance(error, DBAPIError):
        return StoreUnavailable(f"{database}: {error}")
    if _code(error) in _NO_TABLE or "no such table" in str(error.orig):
        return StoreUnavailable(
            f"{database}: the table `{table}` is missing; call the store's create_schema() once, or apply docs/sql.md"
        )
    return StoreUnavailable(f"{database}: {error.orig}")


# MySQL: names are the server's, and may have 64 characters. PostgreSQL: numbers of 64 bits are the database's, and the
# lower half is the table's own.
_MYSQL = "CONCAT('sweep of ', :table, ' ', MD5(DATABASE()))"
_GET = text(f"SELECT GET_LOCK({_MYSQL}, 0)")
_RELEASE = text(f"SELECT RELEASE_LOCK({_MYSQL})")
_POSTGRESQL = text(
    "SELECT pg_try_advisory_xact_lock((1936942437 * CAST(4294967296 AS BIGINT))"
    " + CAST(CAST(CAST(:table AS text) AS regclass) AS oid)::bigint)"
)


@contextmanager
def around_transaction(connection: Connection, table: str) -> Iterator[bool]:
    """Whether it is this one's turn, as far as that is known before a transaction."""
    if connection.dialect.name not in {"mysql", "mariadb"}:
        yield True
        return
    is_mine = connection.execute(_GET, {"table": table}).scalar_one() == 1
    try:
        yield is_mine
    finally:
        if is_mine and not connection.invalidated:
            _release(connection, table)


def within_transaction(connection: Connection, table: str) -> bool:
    """Whether it is this one's turn, until the transaction ends."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(_POSTGRESQL, {"table": table}).scalar_one())


def _release(connection: Connection, table: str) -> None:
    """Or gives up the connection, and the lock with it."""
    try:
        connection.execute(_RELEASE, {"table": table})
    except SQLAlchemyError:
        connection.invalidate()


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
