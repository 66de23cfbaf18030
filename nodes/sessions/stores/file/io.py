"""Files without surprises: below an open folder, never through a symbolic link, locked with a time limit."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...store import CorruptRecord

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP = 0.002
"""Seconds between two attempts to get a lock."""


def make_folder(folder: Path, parts: Iterable[str]) -> None:
    """Makes the folder and its parts; PermissionError where it is somebody else's, or others may write to it."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(0, "others may write to it: it must belong to this user, with mode 0700")
    for part in parts:
        (folder / part).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def opened(name: str, parent: int | None = None, make: bool = False) -> Iterator[int]:
    """The descriptor of a folder below `parent`; `make` makes it where it is missing."""
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            pass
        else:
            if parent is not None:
                os.fsync(parent)
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(name: str, folder: int, timeout: float) -> Iterator[bool]:
    """Holds the exclusive lock `name`; False where others did for `timeout` seconds. A process that dies frees it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        yield _lock(descriptor, timeout)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, timeout: float) -> bool:
    until = time.monotonic() + timeout
    while True:
        try:
            # Never the blocking form: it would hold up a whole gevent worker, and know no limit.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_STEP)
        else:
            return True


def read(name: str, folder: int) -> bytes:
    """All of a file. FileNotFoundError; `CorruptRecord` where something else has this name, such as a symbolic link."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise CorruptRecord("it is a symbolic link") from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CorruptRecord("it is no regular file")
        data = os.read(descriptor, found.st_size)
        while len(data) < found.st_size and (more := os.read(descriptor, found.st_size - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def write_new(data: bytes, folder: int, mtime: float) -> str:
    """A new file that is on the disk when this returns: its name, which ends in `.new`. Gone again where that fails."""
    name = f".{secrets.token_hex(8)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.utime(descriptor, (mtime, mtime))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise
    return name


def remove_older(folder: int, ending: str, seconds: float) -> None:
    """Removes the files whose name has this ending and that nothing has changed for so long; a folder stays."""
    for entry in os.scandir(folder):
        if entry.name.endswith(ending) and age(entry) > seconds:
            with suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(entry.name, dir_fd=folder)


def age(entry: os.DirEntry[str]) -> float:
    """Seconds since it was last changed in any way, by the clock of the system; 0 where it is gone by now."""
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_ctime
    except FileNotFoundError:
        return 0.0


def modified(entry: os.DirEntry[str]) -> float:
    """When it was last modified, in seconds since the epoch; 0 where it is gone by now."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return 0.0
