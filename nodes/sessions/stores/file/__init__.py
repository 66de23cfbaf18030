"""Sessions in files of one folder."""

from .store import FileStore

__all__ = ["FileStore"]
