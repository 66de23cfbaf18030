"""Statements and transactions within budgets: retries, the advisory lock of a sweep, errors.

Of several processes that sweep a database, one works at a time, and the others return at once. The database keeps
the lock for the connection or the transaction that asked for it, so a process that dies releases it. One that hangs
loses it when the database ends its idle transaction (PostgreSQL and MariaDB, after four times the read timeout) or its
idle connection (MySQL, `engine.LONGEST_IDLE`). In SQLite, BEGIN IMMEDIATE is a lock already.
"""

from __future__ import annotations

import random
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from ...store import Budgets, StoreUnavailable
from .writer_queue import writer_queue

_VICTIM = {1213, 1020, "40001", "40P01"}
"""MySQL: deadlock; MariaDB: the row changed since the snapshot. PostgreSQL: serialization failure, deadlock."""
_GIVEN_UP = {1205, 1969, "57014", "55P03"}
"""The server ended a statement that waited for too long, mostly for the lock of a row, and undid it. MySQL, MariaDB;
PostgreSQL."""
_NONSENSE = (struct.error, IndexError, AssertionError, UnicodeDecodeError)
"""PyMySQL's errors for answers that are not MySQL's protocol."""
_NO_TABLE = {1146, "42P01"}
_NO_COLUMN = {1054, "42703"}
_FULL = {1021, 1114, "53100"}


def _code(error: DBAPIError) -> int | str | None:
    """Return MySQL's number or PostgreSQL's SQLSTATE; None for SQLite."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return first if isinstance(first, int) else getattr(error.orig, "sqlstate", None)


def was_rolled_back(error: BaseException) -> bool:
    """Return whether the database itself rolled back, so that certainly nothing was applied."""
    return isinstance(error, DBAPIError) and _code(error) in _VICTIM


def is_full(error: BaseException | None) -> bool:
    """Return whether the database refused a statement because its disk or a table is full."""
    return isinstance(error, DBAPIError) and _code(error) in _FULL


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt, on a new connection, may succeed."""
    return isinstance(error, OperationalError | InterfaceError) or was_rolled_back(error)


def _is_locked(error: BaseException) -> bool:
    """Return whether another connection is writing to the SQLite database, so that nothing was done."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(cause, "sqlite_errorcode", 0)  # not SQLite's in errors of the module itself
    return isinstance(cause, sqlite3.OperationalError) and code & 0xFF == sqlite3.SQLITE_BUSY


def _waited_in_vain(error: BaseException) -> bool:
    """Return whether the server ended a statement that waited, so that it was not applied."""
    return isinstance(error, DBAPIError) and _code(error) in _GIVEN_UP


def to_unavailable(error: BaseException, database: str, table: str) -> StoreUnavailable:
    """Return the error of a store, without the statement and its parameters, which are a session's content."""
    if isinstance(error, _NONSENSE):
        return StoreUnavailable(f"{database}: an answer that can't be read: {type(error).__name__}")
    if not isinstance(error, DBAPIError):
        return StoreUnavailable(f"{database}: {error}")
    if _code(error) in _NO_TABLE or "no such table" in str(error.orig):
        return StoreUnavailable(
            f"{database}: the table `{table}` is missing; call the store's create_schema() once, or apply docs/sql.md"
        )
    # psycopg's texts have several lines, of which one can have the content of a row.
    reason = " ".join(str(error.orig).partition("\nDETAIL:")[0].split())
    if _code(error) in _NO_COLUMN or "no such column" in reason:
        return StoreUnavailable(f"{database}: the table `{table}` is not a table of sessions: {reason}")
    return StoreUnavailable(f"{database}: {reason}")


# MySQL: names are global to the server, with at most 64 characters, as many as a table's name may have. PostgreSQL:
# numbers of 64 bits are the database's; the lower half is the table's own.
_MYSQL = "CONCAT('sweep of ', MD5(CONCAT(DATABASE(), '.', :table)))"
_GET = text(f"SELECT GET_LOCK({_MYSQL}, 0)")
_RELEASE = text(f"SELECT RELEASE_LOCK({_MYSQL})")
_POSTGRESQL = text(
    "SELECT pg_try_advisory_xact_lock((1936942437 * CAST(4294967296 AS BIGINT))"
    " + CAST(CAST(CAST(:table AS text) AS regclass) AS oid)::bigint)"
)


@contextmanager
def advisory_lock(connection: Connection, table: str) -> Iterator[bool]:
    """Hold the lock of a sweep around a transaction. Yield False where another process has it.

    For MySQL and MariaDB; PostgreSQL has `advisory_transaction_lock`.
    """
    if connection.dialect.name not in {"mysql", "mariadb"}:
        yield True
        return
    is_mine = connection.execute(_GET, {"table": table}).scalar_one() == 1
    try:
        yield is_mine
    finally:
        if is_mine and not connection.invalidated:
            try:
                connection.execute(_RELEASE, {"table": table})
            except SQLAlchemyError:
                connection.invalidate()  # which releases it as well


def advisory_transaction_lock(connection: Connection, table: str) -> bool:
    """Take the lock of a sweep until the transaction ends. Return False where another process has it."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(_POSTGRESQL, {"table": table}).scalar_one())


T = TypeVar("T")

BATCH = 100
"""Expired rows that one transaction of a sweep removes, so that others don't wait long for it."""
PAGE = 1000
_LOCK_PAUSE = (0.001, 0.01)
"""Seconds (from, to) between two attempts to write to a SQLite database to which others write."""
_CREATORS = 5
"""Attempts of `create` when others create the same tables at the same time."""


class AutocommitEngine:
    """An engine in autocommit mode. The methods raise `StoreUnavailable` instead of SQLAlchemy's errors."""

    def __init__(self, engine: Engine, budgets: Budgets, table: str) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._budgets = budgets
        self._table = table
        is_sqlite = engine.dialect.name == "sqlite"
        self._begin = "BEGIN IMMEDIATE" if is_sqlite else "BEGIN"
        self._queue = writer_queue(str(Path(engine.url.database or "").resolve())) if is_sqlite else None

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run statements that change nothing. Tried again after a transient failure."""
        return self._attempt(work, is_transient, _is_locked)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run one statement that changes something. Without an answer it may have been applied: never sent again."""

        def flushed(connection: Connection) -> T:
            with self._flushing(connection):
                return work(connection)

        return self._attempt_in_turn(flushed, was_rolled_back)

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run statements in a transaction. Before COMMIT nothing is applied, so it is tried again."""

        def within(connection: Connection) -> T:
            with self._transaction(connection):
                return work(connection)

        return self._attempt_in_turn(within, is_transient)

    def create(self, make_missing: Callable[[Connection], None]) -> None:
        """Create missing tables and indexes. Several processes may do so at the same time."""
        for left in reversed(range(_CREATORS)):
            try:
                self._attempt(make_missing, lambda _error: False, _is_locked)
            except StoreUnavailable as error:
                # A table may exist now, or another node is creating it: look again.
                if not left or not isinstance(error.__cause__, DBAPIError):
                    raise
            else:
                return

    def pages(self, keys: Select[str]) -> Iterator[str]:
        """Yield the keys that `keys` selects, page by page: up to `_limit` keys after `_after`."""
        values = {"_after": "", "_limit": PAGE}
        while True:
            page = self.read(lambda connection: connection.execute(keys, values).scalars().all())
            yield from page
            if len(page) < PAGE:
                return
            values["_after"] = page[-1]

    def in_batches(self, take: Callable[[Connection, int], Sequence[T]], limit: int) -> Iterator[Sequence[T]]:
        """Yield the rows that `take` returns, in transactions of up to `BATCH` rows, until none or `limit` are taken.

        Each batch is yielded after its transaction. Ends at once where another process has the lock.
        """

        def take_batch(connection: Connection, size: int) -> Sequence[T]:
            with advisory_lock(connection, self._table) as is_mine:
                if not is_mine:
                    return ()
                with self._transaction(connection):
                    return take(connection, size) if advisory_transaction_lock(connection, self._table) else ()

        while limit > 0:
            size = min(BATCH, limit)
            batch = self._attempt_in_turn(partial(take_batch, size=size), is_transient)
            yield batch
            if len(batch) < size:
                return
            limit -= size

    def close_idle(self) -> None:
        """Close the idle connections to a server; SQLite has none."""
        if self._engine.dialect.name != "sqlite":
            self._engine.dispose()

    def dispose(self) -> None:
        self._engine.dispose()

    def _attempt_in_turn(self, work: Callable[[Connection], T], again: Callable[[BaseException], bool]) -> T:
        if self._queue is None:
            return self._attempt(work, again, _waited_in_vain)
        with self._queue.turn(self._budgets.deadline) as waits_for_others:
            return self._attempt(work, again, _is_locked, waits_for_others)

    def _attempt(
        self,
        work: Callable[[Connection], T],
        again: Callable[[BaseException], bool],
        is_locked: Callable[[BaseException], bool],
        waits_for_others: Callable[[], bool] | None = None,
    ) -> T:
        """Run `work` until it succeeds: after errors that `again` names `retries` times, and after those that
        `is_locked` names for as long as there is time.
        """
        until = time.monotonic() + self._budgets.deadline
        retries = self._budgets.retries
        while True:
            try:
                with _connect(self._engine) as connection:
                    return _close_after_nonsense(connection, work)
            except (SQLAlchemyError, OSError, *_NONSENSE) as error:
                is_late, locked = time.monotonic() >= until, is_locked(error)
                if locked and waits_for_others is not None:
                    is_late = not waits_for_others()
                if is_late or not (locked or (retries and again(error))):
                    raise to_unavailable(error, self._engine.dialect.name, self._table) from error
            if locked:
                time.sleep(random.uniform(*_LOCK_PAUSE))  # noqa: S311 - no secret
            else:
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
            with self._flushing(connection):
                connection.exec_driver_sql("COMMIT")
        except DBAPIError as error:
            _roll_back(connection)
            if was_rolled_back(error):
                raise
            raise StoreUnavailable(f"{self._engine.dialect.name}: no answer to COMMIT: {error.orig}") from error

    @contextmanager
    def _flushing(self, connection: Connection) -> Iterator[None]:
        """Wait until the deadline for answers inside of the block. The server writes to its disk before it gives them.

        A disk that others use may take longer than `read_timeout`. Giving up sooner would win nothing: without an
        answer a write can't be tried again.
        """
        raw: Any = connection.connection.dbapi_connection
        usual: float | None = getattr(raw, "answer_timeout", None)
        if usual is None:  # SQLite's, or of an engine that the caller has made
            yield
            return
        raw.answer_timeout = max(usual, self._budgets.deadline)
        try:
            yield
        finally:
            raw.answer_timeout = usual


def _connect(engine: Engine) -> Connection:
    """Return a connection. Raises OSError where the driver or SQLAlchemy stumbles over the answers of a handshake."""
    try:
        return engine.connect()
    except (SQLAlchemyError, OSError, *_NONSENSE):
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise OSError(f"an answer that can't be read: {type(error).__name__}") from error


def _close_after_nonsense(connection: Connection, work: Callable[[Connection], T]) -> T:
    """Run `work`. Close the connection where the driver could not read an answer, since more of it may come."""
    try:
        return work(connection)
    except _NONSENSE:
        connection.invalidate()
        raise


def _roll_back(connection: Connection) -> None:
    """Roll back, so that the connection can be used again; otherwise close it, and the server rolls back."""
    if connection.invalidated:
        return
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        return  # SQLite has rolled back, as it does where the disk fails; closing it then may be final
    try:
        connection.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError:
        connection.invalidate()
