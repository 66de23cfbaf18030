"""Of several processes that sweep a database, one is at work at a time: the others are told so at once.

The database keeps the lock, for the connection or the transaction that asked for it, so whoever dies gives it back. Who
hangs loses it when the database ends the transaction for being idle: PostgreSQL and MariaDB after four times the read
timeout; MySQL, which knows no such limit, with the connection (`sql_engine.LONGEST_IDLE`). A BEGIN IMMEDIATE of SQLite
is a lock already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

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
