"""Sessions in SQLite, MySQL, MariaDB or PostgreSQL."""

from .store import SqlStore

__all__ = ["SqlStore"]
