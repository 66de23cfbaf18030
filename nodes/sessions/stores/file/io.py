"""Files below an open folder: never through a symbolic link, locked with a time limit, whole when they appear."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from posix import close

from ...store import CorruptRecord, RecordTooLarge

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_INTERVAL = 0.002
"""Seconds between two attempts to get a lock."""


def make_folder(folder: Path, parts: Iterable[str]) -> None:
    """Create the folder and its parts. Raises PermissionError where another user owns it or others may write to it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(0, "others may write to it: it must belong to this user, with mode 0700")
    for part in parts:
        (folder / part).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def open_folder(name: str, parent: int | None = None, make: bool = False) -> Iterator[int]:
    """Yield the descriptor of a folder below `parent`; `make` creates a missing one."""
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
        # Not os.close: gevent's closes a folder only when its worker waits next. A request that goes through thousands
        # of sessions before would use up the process's descriptors.
        close(descriptor)


@contextmanager
def lock(name: str, folder: int, timeout: float) -> Iterator[bool]:
    """Hold the exclusive lock `name`. Yield False where others held it for `timeout` seconds.

    The kernel releases the lock of a process that dies.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        yield _acquire(descriptor, timeout)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, timeout: float) -> bool:
    until = time.monotonic() + timeout
    while True:
        try:
            # Never the blocking form: it would block a whole gevent worker, without a limit.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOCK_INTERVAL)
        else:
            return True


def read(name: str, folder: int, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises FileNotFoundError, `RecordTooLarge`, and `CorruptRecord` for what is not a regular file.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise CorruptRecord("it is a symbolic link") from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CorruptRecord("it is not a regular file")
        if status.st_size > most:
            raise RecordTooLarge(f"the file of a session has {status.st_size} bytes; this node reads at most {most}")
        data = os.read(descriptor, status.st_size)
        while len(data) < status.st_size and (more := os.read(descriptor, status.st_size - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def write_new(data: bytes, folder: int, mtime: float, durable: bool) -> str:
    """Write a new file, to the disk if it is `durable`. Return its name, which ends in `.new`; none after a failure."""
    name = f".{secrets.token_hex(8)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.utime(descriptor, (mtime, mtime))
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise
    return name


def remove_older(folder: int, ending: str, seconds: float) -> None:
    """Remove the files whose name has this ending and that did not change for this long. Folders stay."""
    for entry in os.scandir(folder):
        if entry.name.endswith(ending) and time.time() - get_times(entry)[1] > seconds:
            with suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(entry.name, dir_fd=folder)


def get_times(entry: os.DirEntry[str]) -> tuple[float, float]:
    """Return mtime and ctime in seconds since the epoch; 0 and now for a file that no longer exists."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0.0, time.time()
    return status.st_mtime, status.st_ctime
