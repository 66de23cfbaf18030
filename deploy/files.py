"""Writing files atomically, and reading the end of a log."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

_BLOCK = 4096
"""Bytes: of a full disk not even this many are free."""
_BYTES_OF_LINE = 2048
"""Bytes of a log that are read for each wanted line."""


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
    """Create or replace a JSON file atomically; with secrets in it, it needs another mode. What `is_passage` is written
    to. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    if is_passage(path):
        path.write_bytes(text)
    else:
        write_atomically(path, text, mode)


def is_passage(path: Path) -> bool:
    """Return whether this is a link, a device or a pipe: it stays where it is, and what is written goes through it."""
    return path.is_symlink() or (path.exists() and not path.is_file())


def check_writable(path: Path) -> None:
    """Raise OSError if this file cannot be written. An existing one stays unchanged."""
    if is_passage(path):
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
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
