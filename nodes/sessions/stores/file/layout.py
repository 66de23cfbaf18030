"""What is in the file of a session: `SC`, the version, a digest of the rest, then MessagePack.

----

Which sessions a user has: a folder for each user, and in it an empty file for each session, named by its key.

An entry is made before its session and removed after it, both under the lock of the session's shard. So a session is
never missing, whatever dies in between; an entry whose session is gone is removed when somebody comes across it, and a
folder with its last entry.


----

The way to a session's file: the store's folder, its shards and their locks; and what a fault of the system means."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ...counters import COUNTER
from ...store import LATEST, CorruptRecord, Lifetime, StoreUnavailable, UnsupportedRecordVersion
from .io import locked, make_folder, opened

_MAGIC = b"SC"
FORMAT = 1
_DIGEST_BYTES = 16
_HEADER = len(_MAGIC) + 1 + _DIGEST_BYTES


class Saved(msgspec.Struct, array_like=True, frozen=True):
    """A session in its file. Times are in seconds since the epoch."""

    fields: dict[str, bytes]
    owner: str | None
    created: float
    expires: float
    final: bool


def lasting(fields: dict[str, bytes], owner: str | None, created: float, now: float, lifetime: Lifetime) -> Saved:
    """A session that was used `now`, with what is left of its lifetime."""
    idle, absolute = now + lifetime.idle, created + lifetime.absolute
    return Saved(fields, owner, created, min(idle, absolute), absolute <= idle)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Saved)


def pack(saved: Saved) -> bytes:
    """The bytes of the file."""
    data = _encoder.encode(saved)
    return b"".join((_MAGIC, bytes([FORMAT]), _digest(data), data))


def unpack(data: bytes) -> Saved:
    """Return the session in these bytes. Raises `CorruptRecord`, and `UnsupportedRecordVersion` for a later format."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER:
        raise CorruptRecord("it does not begin as the file of a session does")
    version = data[len(_MAGIC)]
    if version > FORMAT:
        raise UnsupportedRecordVersion(f"the file of a session is of format {version}; this version reads {FORMAT}")
    if version != FORMAT or _digest(data[_HEADER:]) != data[_HEADER - _DIGEST_BYTES : _HEADER]:
        raise CorruptRecord("its digest is not that of what it holds")
    try:
        saved = _decoder.decode(data[_HEADER:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRecord(str(error)) from error
    if not 0 <= saved.created < LATEST:
        raise CorruptRecord("it was created at no time")
    return saved


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


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


KEYS = re.compile(rf"[0-9a-f{COUNTER}][0-9a-f]{{63}}\Z")
SHARDS = tuple(f"{number:02x}" for number in range(256))
_COUNTERS = tuple(f"{COUNTER}{number:x}" for number in range(16))
SWEPT = SHARDS + _COUNTERS
"""Counters are swept with the sessions, and not gone through."""
DAMAGED = "damaged"


class Folders:
    """Below `path`, which is made when it is first needed. Every OSError inside its blocks is `StoreUnavailable`."""

    def __init__(self, path: Path, lock_timeout: float) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._made = False

    @contextmanager
    def root(self) -> Iterator[int]:
        """The descriptor of the folder."""
        try:
            if not self._made:
                make_folder(self._path, (*SWEPT, USERS, DAMAGED))
                self._made = True
            with opened(str(self._path)) as folder:
                yield folder
        except OSError as error:
            raise StoreUnavailable(f"the folder {self._path}: {error.strerror or error}") from error

    @contextmanager
    def shard(self, key: str) -> Iterator[tuple[int, int]]:
        """The descriptors of the folder and of the key's shard. ValueError for what is no key."""
        if not KEYS.match(key):
            raise ValueError(f"{key!r} is no key: it must be 64 hexadecimal digits, the first of a counter '{COUNTER}'")
        with self.root() as folder, opened(key[:2], folder) as shard:
            yield folder, shard

    @contextmanager
    def locked(self, key: str) -> Iterator[tuple[int, int]]:
        """The same, while nobody else has the shard's lock. `StoreUnavailable` after `lock_timeout` seconds."""
        with self.shard(key) as (folder, shard), locked("lock", shard, self._lock_timeout) as is_mine:
            if not is_mine:
                raise StoreUnavailable(f"the folder {self._path}: a shard was locked for {self._lock_timeout:g} s")
            yield folder, shard
