"""Which sessions a user has: a folder for each user, and in it an empty file for each session, named by its key.

An entry is made before its session and removed after it, both under the lock of the session's shard. So a session is
never missing, whatever dies in between; an entry whose session is gone is removed when somebody comes across it, and a
folder with its last entry.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from .file_system import opened

USERS = "users"
_ATTEMPTS = 100
"""How often a folder may be taken away just before something is put into it."""


class Index:
    """Below `folder`, the descriptor of the store's folder."""

    def add(self, folder: int, owner: str, key: str) -> None:
        """Writes down that `key` belongs to `owner`; on the disk when it returns."""
        with opened(USERS, folder) as users:
            for attempt in range(_ATTEMPTS):
                try:
                    with opened(_name(owner), users, make=True) as entries:
                        _make_file(key, entries)
                except FileNotFoundError:  # the folder was empty and is gone: make another one
                    if attempt == _ATTEMPTS - 1:
                        raise
                else:
                    return

    def remove(self, folder: int, owner: str, key: str) -> None:
        """Forgets it; nothing where it was not there."""
        with opened(USERS, folder) as users:
            with suppress(FileNotFoundError), opened(_name(owner), users) as entries:
                os.unlink(key, dir_fd=entries)
            # The system refuses this where there is still something in it, which needs no lock of ours.
            with suppress(OSError):
                os.rmdir(_name(owner), dir_fd=users)

    def keys(self, folder: int, owner: str) -> list[str]:
        """What was written down for `owner`, in no order."""
        with suppress(FileNotFoundError), opened(USERS, folder) as users, opened(_name(owner), users) as entries:
            return [entry.name for entry in os.scandir(entries)]
        return []


def _make_file(name: str, folder: int) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder))
    os.fsync(folder)


def _name(owner: str) -> str:
    return hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()
