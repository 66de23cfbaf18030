"""Sessions in files: one for each, for several processes of one machine.

Below the folder (0700; files 0600) lie 256 shards by the first two digits of the key, and `g0` to `gf` for counters. A
shard has the sessions, each in a file that is named by its key, and `lock`. Beside the shards lie `users` (see
`file_index.py`) and `damaged`, where records that can't be read are kept for a day. The system calls of each operation,
between `open` of folder and shard and their `close`:

    load       open, fstat, read, close
    create     open and flock of `lock`; load; the index; then replace
    update     open and flock of `lock`; load; then replace
    delete     open and flock of `lock`; load; unlink, fsync of the shard; unlink and rmdir in the index
    set_aside  open and flock of `lock`; rename, fsync of `damaged` and of the shard
    replace    open of a temporary file, write, utime, fsync, close; rename, fsync of the shard

A rename is atomic, so a reader needs no lock, and a writer that dies at any point leaves the old record or the new one;
the kernel gives its lock back, and `sweep` removes its temporary file. A file's mtime is when its session expires, for
`sweep` and `count`. flock is the kernel's, so the folder belongs on a disk of this machine (or a volume of it), not on
a network. `fsync` holds up the whole worker under gevent, for as long as the disk takes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ...codec import Codec, MsgpackCodec
from ...cookie import CookieFormat, SignedCookie
from ...store import (
    Changes,
    CorruptRecord,
    Lifetime,
    OnExpired,
    Outcome,
    Record,
    UnsupportedRecordVersion,
    encoded_size,
    ignore,
)
from .io import locked, modified, opened, read, remove_older, write_new
from .layout import DAMAGED, KEYS, SHARDS, SWEPT, Folders, Index, Saved, lasting, pack, unpack

log = logging.getLogger("nodes.sessions")

DAMAGED_SECONDS = 24 * 60 * 60.0
ABANDONED_SECONDS = 60.0
"""A temporary file that is older was left by a writer that died."""


class FileStore:
    """In `folder`, which is made when it is first needed.

    `lock_timeout` is how many seconds an operation waits for others of the same shard; then it is `StoreUnavailable`.
    `clock` returns seconds since the epoch; it has to be the same for all processes.
    """

    def __init__(self, folder: Path, lock_timeout: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        folders = Folders(Path(folder), lock_timeout)
        self._root, self._shard, self._locked = folders.root, folders.shard, folders.locked
        self._clock = clock
        self._index = Index()
        self._next_shard = 0

    def load(self, key: str) -> Record | None:
        with self._shard(key) as (_, shard):
            try:
                saved = self._live(shard, key)
            except CorruptRecord as error:
                why = str(error)
            else:
                return self._record(saved) if saved else None
        self._damaged(key, why)
        return None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        with self._locked(key) as (folder, shard):
            with suppress(CorruptRecord):  # replaced, as an expired one would be
                if self._live(shard, key) is not None:
                    return None
            now = self._clock()
            created = now if created is None else created
            if owner is not None:
                # First, so that no session of a user is ever missing in the index; one too many, the index heals.
                self._index.add(folder, owner, key)
            self._replace(shard, key, lasting(dict(fields), owner, created, now, lifetime))
            return created

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        with self._locked(key) as (_, shard):
            try:
                saved = self._live(shard, key)
            except CorruptRecord as error:
                why = str(error)
            else:
                now = self._clock()
                if saved is None or saved.created + lifetime.absolute <= now:
                    return Outcome.ABSENT
                if any(saved.fields.get(name) != value for name, value in changes.expect.items()):
                    return Outcome.CONFLICT
                fields = changes.apply_to(saved.fields)
                if changes.set and changes.max_bytes is not None and encoded_size(fields) > changes.max_bytes:
                    return Outcome.TOO_LARGE
                self._replace(shard, key, lasting(fields, saved.owner, saved.created, now, lifetime))
                return Outcome.APPLIED
        self._damaged(key, why)
        return Outcome.ABSENT

    def delete(self, key: str) -> Record | None:
        with self._locked(key) as (folder, shard):
            saved = None
            with suppress(CorruptRecord, UnsupportedRecordVersion):
                saved = self._live(shard, key)
            with suppress(FileNotFoundError):
                os.unlink(key, dir_fd=shard)
                os.fsync(shard)
            if saved is not None and saved.owner is not None:
                self._index.remove(folder, saved.owner, key)
            return self._record(saved) if saved else None

    def quarantine(self, key: str) -> None:
        with self._locked(key) as (folder, shard), opened(DAMAGED, folder) as damaged, suppress(FileNotFoundError):
            os.rename(key, f"{key}.{time.time_ns()}", src_dir_fd=shard, dst_dir_fd=damaged)
            os.fsync(damaged)
            os.fsync(shard)

    def ping(self) -> float:
        with self._root():
            return self._clock()

    def close(self) -> None:
        return None

    def keys_of(self, owner: str) -> list[str]:
        seen: set[str] = set()
        found: list[tuple[float, str]] = []
        while keys := self._indexed(owner) - seen:
            alive = [(saved.created, key) for key in keys if (saved := self._owned(key, owner))]
            found += alive
            if len(alive) == len(keys):
                break
            seen |= keys  # who is gone may have moved to a key that was written down since
        return [key for _, key in sorted(found)]

    def _indexed(self, owner: str) -> set[str]:
        with self._root() as folder:
            return set(self._index.keys(folder, owner))

    def keys(self) -> Iterator[str]:
        for name in SHARDS:
            with self._root() as folder, opened(name, folder) as shard:
                live = [entry.name for entry in os.scandir(shard) if _expires(entry) > self._clock()]
            yield from live

    def count(self) -> int:
        return sum(1 for _ in self.keys())

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        """One process at a time; the others return 0 at once. Goes on with the shard where it last stopped. A damaged
        file is set aside, and one of a later version left alone."""
        gone: list[str] = []
        try:
            return self._sweep_shards(limit, gone)
        finally:
            for key in gone:
                on_expired(key)

    def _sweep_shards(self, limit: int, gone: list[str]) -> int:
        removed = 0
        with self._root() as folder, locked("sweeping", folder, timeout=0) as is_mine:
            if not is_mine:
                return 0
            for _ in SWEPT:
                this, self._next_shard = self._next_shard, (self._next_shard + 1) % len(SWEPT)
                with opened(SWEPT[this], folder) as shard:  # one that fails is not the next one's beginning
                    removed += self._sweep(shard, limit - removed, gone)
                if removed >= limit:
                    self._next_shard = this
                    return removed
                time.sleep(0)  # under gevent, requests are served between two shards
            with opened(DAMAGED, folder) as damaged:
                remove_older(damaged, "", DAMAGED_SECONDS)
        return removed

    # ---- one shard

    def _sweep(self, shard: int, limit: int, gone: list[str]) -> int:
        remove_older(shard, ".new", ABANDONED_SECONDS)
        now = self._clock()
        expired = [entry.name for entry in os.scandir(shard) if 0 < _expires(entry) <= now]
        removed = 0
        for key in expired:
            if removed >= limit:
                break
            removed += self._remove_expired(key, gone)
        return removed

    def _remove_expired(self, key: str, gone: list[str]) -> bool:
        with self._locked(key) as (folder, shard):
            try:
                saved = unpack(read(key, shard))
            except (UnsupportedRecordVersion, FileNotFoundError):
                return False  # only a later version knows when its sessions end
            except CorruptRecord as error:
                why = str(error)
            else:
                if saved.expires > self._clock():
                    return False
                os.unlink(key, dir_fd=shard)
                gone.append(key)
                if saved.owner is not None:
                    self._index.remove(folder, saved.owner, key)
                return True
        self._damaged(key, why)
        return True

    def _owned(self, key: str, owner: str) -> Saved | None:
        """The live session; where it is none of this user's, the index forgets it."""
        with self._locked(key) as (folder, shard):
            try:
                saved = self._live(shard, key)
            except CorruptRecord:
                saved = None
            if saved is None or saved.owner != owner:
                self._index.remove(folder, owner, key)
                return None
            return saved

    def _live(self, shard: int, key: str) -> Saved | None:
        try:
            saved = unpack(read(key, shard))
        except FileNotFoundError:
            return None
        return saved if saved.expires > self._clock() else None

    def _record(self, saved: Saved) -> Record:
        return Record(saved.fields, saved.owner, saved.created, saved.expires - self._clock(), saved.final)

    def _replace(self, shard: int, key: str, saved: Saved) -> None:
        temporary = write_new(pack(saved), shard, mtime=saved.expires)
        os.rename(temporary, key, src_dir_fd=shard, dst_dir_fd=shard)
        os.fsync(shard)

    def _damaged(self, key: str, why: str) -> None:
        log.error("session %s is corrupt and was quarantined: %s", key, why)
        self.quarantine(key)


def _expires(entry: os.DirEntry[str]) -> float:
    """0 for what is no session, or gone by now."""
    return modified(entry) if KEYS.match(entry.name) else 0.0
