"""The content of the file store's folder: shards of sessions, an index of users, quarantined records.

    00 … ff/<key>         a session: `SC`, the version, a digest of the rest, then MessagePack
    00 … ff/<key>.ended   the mark of a session that ended, in the same form
    00 … ff/.<random>.new the new content of a session, until it is renamed
    00 … ff/lock          the lock of the shard
    sweeping              the lock of a sweep
    users/<hash>/<key>    an empty file for each session of a user
    damaged/<key>.<time>  a corrupt record, kept for a day

An entry of the index is created before its session and removed after it, under the lock of the session's shard. So the
index never lacks a session, whenever a process dies. An entry without a session is removed by the next process that
finds it, and a user's folder with its last entry.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from ...store import LATEST, CorruptRecord, StoreUnavailable, UnsupportedRecordVersion
from ..saved import SavedMark, SavedSession
from .io import lock, make_folder, open_folder

KEYS = re.compile(r"[0-9a-f]{64}\Z")
SHARDS = tuple(f"{number:02x}" for number in range(256))
USERS, DAMAGED = "users", "damaged"
MARK = ".ended"
"""The ending of a mark's name."""
FORMAT = 1
_MAGIC = b"SC"
_DIGEST_BYTES = 16
_HEADER = len(_MAGIC) + 1 + _DIGEST_BYTES
_ATTEMPTS = 100
"""Maximum number of attempts to add an entry, because another process may remove the empty folder in between."""


T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SavedSession)
_mark_decoder = msgspec.msgpack.Decoder(SavedMark)


def pack(saved: SavedSession | SavedMark) -> bytes:
    """Return the bytes of the file."""
    data = _encoder.encode(saved)
    return b"".join((_MAGIC, bytes([FORMAT]), _digest(data), data))


def unpack(data: bytes) -> SavedSession:
    """Return the session in these bytes. Raises `CorruptRecord`, and `UnsupportedRecordVersion` for a later format."""
    saved = _unpack(data, _decoder)
    if not 0 <= saved.created < LATEST:
        raise CorruptRecord("its time of creation is out of range", data)
    return saved


def unpack_mark(data: bytes) -> SavedMark:
    """Return the mark in these bytes. Raises as `unpack` does."""
    return _unpack(data, _mark_decoder)


def _unpack(data: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER:
        raise CorruptRecord("it does not begin as the file of a session does", data)
    version = data[len(_MAGIC)]
    if version > FORMAT:
        raise UnsupportedRecordVersion(f"the file of a session is of format {version}; this version reads {FORMAT}")
    if version != FORMAT or _digest(data[_HEADER:]) != data[_HEADER - _DIGEST_BYTES : _HEADER]:
        raise CorruptRecord("its digest does not match its content", data)
    try:
        return decoder.decode(data[_HEADER:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRecord(str(error), data) from error


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


class Folders:
    """The folders below `path`; it and each shard are created when first needed.

    An OSError inside one of its blocks becomes `StoreUnavailable`.
    """

    def __init__(self, path: Path, lock_timeout: float) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._is_made = False

    @contextmanager
    def open_root(self) -> Iterator[int]:
        """Yield the descriptor of the folder."""
        try:
            if not self._is_made:
                make_folder(self._path, (USERS, DAMAGED))
                self._is_made = True
            with open_folder(str(self._path)) as folder:
                yield folder
        except OSError as error:
            raise StoreUnavailable(f"the folder {self._path}: {error.strerror or error}") from error

    @contextmanager
    def open_shard(self, key: str) -> Iterator[tuple[int, int]]:
        """Yield the descriptors of the folder and of the key's shard. Raises ValueError for what is not a key."""
        if not KEYS.match(key):
            raise ValueError(f"a key must be 64 hexadecimal digits, not {key!r}")
        with self.open_root() as folder, open_folder(key[:2], folder, make=True) as shard:
            yield folder, shard

    @contextmanager
    def lock_shard(self, key: str) -> Iterator[tuple[int, int]]:
        """Yield as `open_shard` does, with the shard locked. Raises `StoreUnavailable` after `lock_timeout` seconds."""
        with self.open_shard(key) as (folder, shard), lock("lock", shard, self._lock_timeout) as is_mine:
            if not is_mine:
                raise StoreUnavailable(f"the folder {self._path}: a shard was locked for {self._lock_timeout:g} s")
            yield folder, shard


def add_to_index(folder: int, owner: str, key: str, created: float) -> None:
    """Write to the disk that `key` belongs to `owner`; its time of modification is when the session was created."""
    with open_folder(USERS, folder) as users:
        for attempt in range(_ATTEMPTS):
            try:
                with open_folder(_name(owner), users, make=True) as entries:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                    entry = os.open(key, flags, 0o600, dir_fd=entries)
                    os.utime(entry, (created, created))
                    os.close(entry)
                    os.fsync(entries)
                    return
            except FileNotFoundError:  # the folder was empty and has been removed: make another one
                if attempt == _ATTEMPTS - 1:
                    raise


def remove_from_index(folder: int, owner: str, key: str) -> None:
    """Remove the entry, if there is one."""
    with open_folder(USERS, folder) as users:
        with suppress(FileNotFoundError), open_folder(_name(owner), users) as entries:
            os.unlink(key, dir_fd=entries)
        # The system refuses to remove a folder with an entry, so this needs no lock.
        with suppress(OSError):
            os.rmdir(_name(owner), dir_fd=users)


def list_index(folder: int, owner: str) -> set[str]:
    """Return the keys of `owner`."""
    with suppress(FileNotFoundError), open_folder(USERS, folder) as users, open_folder(_name(owner), users) as entries:
        return {entry.name for entry in os.scandir(entries)}
    return set()


def list_newest(folder: int, owner: str, first: int, count: int) -> list[str]:
    """Return up to `count` keys of `owner`, newest first, without the `first` newest. Opens no session."""
    with suppress(FileNotFoundError), open_folder(USERS, folder) as users, open_folder(_name(owner), users) as entries:
        found: list[tuple[float, str]] = []
        for entry in os.scandir(entries):
            with suppress(FileNotFoundError):  # it has just ended
                found.append((entry.stat().st_mtime, entry.name))
        return [key for _, key in sorted(found, reverse=True)[first : first + count]]
    return []


def _name(owner: str) -> str:
    return hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()
