"""What the errors of the databases mean: SQLAlchemy gives them one type, and each keeps its own codes."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ..store import StoreUnavailable

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
