"""session-file-store's folder: `<id>.json` for each session, beside `.locks` and `.damaged`, which are ours.

Everything here is bytes; `express_file.py` knows what they mean. The locks are for our own processes: Express has none.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..cookie import key_of
from ..store import StoreUnavailable
from .file_record import DamagedFile
from .file_system import locked, make_folder, opened, read, remove_older, write_new

NAMES = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{15,127}")
"""The ids that are names of files: no way out of the folder, and nothing hidden in it."""
_ENDING = ".json"
_LOCKS, _DAMAGED = ".locks", ".damaged"
DAMAGED_SECONDS = 24 * 60 * 60.0
ABANDONED_SECONDS = 60.0
"""A temporary file that is older was left by a writer that died."""


class Folder:
    """`path` is made when it is first needed. Every fault of the system is `StoreUnavailable`."""

    def __init__(self, path: Path, lock_timeout: float) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._made = False

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Its descriptor."""
        try:
            if not self._made:
                make_folder(self._path, (_LOCKS, _DAMAGED))
                self._made = True
            with opened(str(self._path)) as folder:
                yield folder
        except OSError as error:
            raise StoreUnavailable(f"the folder {self._path}: {error.strerror or error}") from error

    @contextmanager
    def locked(self, key: str) -> Iterator[int]:
        """Its descriptor, while no other of our processes has the key's lock, one of 256."""
        _name(key)
        lock = key_of(key)[:2]
        with self.opened() as folder, opened(_LOCKS, folder) as locks, locked(lock, locks, self._lock_timeout) as mine:
            if not mine:
                raise StoreUnavailable(f"the folder {self._path}: a lock was held for {self._lock_timeout:g} s")
            yield folder

    @contextmanager
    def sweeping(self) -> Iterator[int | None]:
        """Its descriptor, once what was left there is removed; None while another of our processes sweeps."""
        with self.opened() as folder, opened(_LOCKS, folder) as locks, locked("sweeping", locks, timeout=0) as mine:
            if mine:
                remove_older(folder, ".new", ABANDONED_SECONDS)
                with opened(_DAMAGED, folder) as damaged:
                    remove_older(damaged, "", DAMAGED_SECONDS)
            yield folder if mine else None

    def set_aside(self, key: str) -> None:
        """Moves a session to `.damaged`, under its hash; nothing where there is none."""
        with self.locked(key) as folder, opened(_DAMAGED, folder) as damaged, suppress(FileNotFoundError):
            os.rename(_name(key), f"{key_of(key)}.{time.time_ns()}", src_dir_fd=folder, dst_dir_fd=damaged)
            os.fsync(damaged)
            os.fsync(folder)


def read_session(key: str, folder: int) -> bytes | None:
    """None where there is none; no bytes, which is no JSON either, where its name is not that of a regular file."""
    try:
        return read(_name(key), folder)
    except FileNotFoundError:
        return None
    except DamagedFile:
        return b""


def replace_session(key: str, folder: int, before: bytes | None, data: bytes, mtime: float) -> bool:
    """Whole or not at all; False, with nothing changed, where it is not as it was before."""
    temporary = write_new(data, folder, mtime)
    try:
        if read_session(key, folder) != before:
            return False
        os.rename(temporary, _name(key), src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
    os.fsync(folder)
    return True


def remove_session(key: str, folder: int) -> bool:
    """Whether it was there."""
    try:
        os.unlink(_name(key), dir_fd=folder)
    except FileNotFoundError:
        return False
    os.fsync(folder)
    return True


def keys_in(folder: int) -> list[str]:
    """The keys of all sessions, live or not."""
    names = (entry.name.removesuffix(_ENDING) for entry in os.scandir(folder) if entry.name.endswith(_ENDING))
    return [key for key in names if NAMES.fullmatch(key)]


def _name(key: str) -> str:
    if not NAMES.fullmatch(key):
        raise ValueError(f"{key!r} is no key: it must be 16 to 128 letters, digits, '-', '_' or '.', no '.' first")
    return key + _ENDING
