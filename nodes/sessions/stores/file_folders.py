"""The way to a session's file: the store's folder, its shards and their locks; and what a fault of the system means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..counters import COUNTER
from ..store import StoreUnavailable
from .file_index import USERS
from .file_system import locked, make_folder, opened

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
