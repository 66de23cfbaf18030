"""Writing files atomically, reading the end of a log, and giving back what a growing file no longer needs."""

import ctypes
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

_BLOCK = 4096
"""Bytes: of a full disk not even this many are free."""
_BYTES_OF_LINE = 2048
"""Bytes of a log that are read for each wanted line."""
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h


def write_atomically(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    """Create or replace a file; a reader sees the old content or the new one. Returns `path`. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            os.fchmod(descriptor, mode)
        return draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, document: Any, mode: int = 0o644) -> None:
    """Create or replace a JSON file atomically; with secrets in it, it needs another mode. Raises OSError."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n", mode)


def check_writable(path: Path) -> None:
    """Raise OSError if this file cannot be written. An existing one stays unchanged."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", buffering=0) as draft:
        draft.write(bytes(_BLOCK))


def read_last_lines(path: Path, count: int) -> tuple[str, ...]:
    """Return the last `count` lines of a text file, which may be growing. Without a file there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count * _BYTES_OF_LINE))
            return tuple(file.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ()


def free_beginning(path: Path, end: int) -> None:
    """Give the disk blocks of the first `end` bytes back; they read as zeros from now on, and the size stays.

    A program that appends to the file notices nothing. Does nothing where the system or the file system can't do it, or
    the file is gone.
    """
    with suppress(OSError, AttributeError):  # AttributeError: not Linux
        descriptor = os.open(path, os.O_WRONLY)
        try:
            start, length = ctypes.c_int64(0), ctypes.c_int64(end)
            ctypes.CDLL(None).fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, length)
        finally:
            os.close(descriptor)
