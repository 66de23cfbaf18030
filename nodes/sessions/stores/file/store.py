"""Sessions in files: one for each, for several processes of one machine.

Below the folder (0700; files 0600) lie 256 shards by the first two digits of the key; see `layout.py`. The system calls
of each operation, between `open` of folder and shard and their `close`:

    load       open, fstat, read, close; without a session, the mark is read in the same way
    create     open and flock of `lock`; load; the index; then replace
    update     open and flock of `lock`; load; then replace
    delete     open and flock of `lock`; load; unlink, fsync of the shard; unlink and rmdir in the index
    retire     open and flock of `lock`; load; replace of the mark; unlink, fsync of the shard; the index as in delete
    end_many   for each shard as retire, with one fsync of the shard for all of them
    quarantine open and flock of `lock`; rename, fsync of `damaged` and of the shard
    replace    open of a temporary file, write, utime, fsync, close; rename, fsync of the shard

A rename is atomic, so a reader needs no lock, and a writer that dies leaves the old record or the new one; the kernel
releases its lock, and `sweep` removes its temporary file. A file's mtime is when its session expires, for `sweep` and
`count`. flock is the kernel's, so the folder belongs on a disk of this machine (or a volume of it), not on a network.
Under gevent, `fsync` blocks the whole worker for as long as the disk takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path

from ...capabilities import OnExpired, ignore
from ...checks import check_type
from ...codec import Codec, MsgpackCodec
from ...cookie import CookieFormat, SignedCookie
from ...corrupt import read_record
from ...store import (
    ELSEWHERE,
    MARK_SECONDS,
    QUARANTINE_SECONDS,
    Changes,
    CorruptRecord,
    Lifetime,
    Outcome,
    Record,
    SessionMark,
    SessionTooLarge,
    UnsupportedRecordVersion,
)
from ..background import let_others_work
from ..saved import SavedMark, SavedSession
from .io import get_times, lock, open_folder, read, remove_older, write_new
from .layout import (
    DAMAGED,
    KEYS,
    MARK,
    SHARDS,
    Folders,
    add_to_index,
    list_index,
    list_newest,
    pack,
    remove_from_index,
    unpack,
    unpack_mark,
)

_SHARDS_AT_ONCE = 8
"""Shards that a request works on until others of its worker are served."""
ABANDONED_SECONDS = 60.0
"""Age at which a temporary file was left by a writer that died."""


class FileStore:
    """Sessions in `folder`, which is created when first needed.

    An operation waits `lock_timeout` seconds for others of the same shard; then it raises `StoreUnavailable`. `clock`
    returns seconds since the epoch, and must be one clock for all processes. Files of more than `max_record` bytes are
    neither written nor read. Without `durable` no record waits for the disk (fsync): it may be lost when the machine
    stops, but not when a process does.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        lock_timeout: float = 1.0,
        clock: Callable[[], float] = time.time,
        max_record: int = 64 * 1024 * 1024,
        durable: bool = True,
    ) -> None:
        check_type("folder", folder, (str, os.PathLike), "a str or a Path")
        check_type("lock_timeout", lock_timeout, (int, float), "a number of seconds")
        check_type("max_record", max_record, int, "an int")
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self._folders = Folders(Path(folder), lock_timeout)
        self._clock = clock
        self._max_record = max_record
        self._durable = durable
        self._next_shard = 0

    def load(self, key: str) -> Record | SessionMark | None:
        return read_record(self, key, lambda: self._load(key))

    def _load(self, key: str) -> Record | SessionMark | None:
        with self._folders.open_shard(key) as (_, shard):
            saved = self._load_live(shard, key)
            return saved.to_record(self._clock()) if saved else self._load_mark(shard, key)

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        with self._folders.lock_shard(key) as (folder, shard):
            with suppress(CorruptRecord):  # replaced, as an expired session is
                if self._load_live(shard, key) is not None:
                    return None
            now = self._clock()
            created = now if created is None else created
            if owner is not None:
                # First, so that the index never lacks a session.
                add_to_index(folder, owner, key, created)
            self._replace(shard, key, SavedSession.make(dict(fields), owner, created, now, lifetime))
            return created

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return read_record(self, key, lambda: self._update(key, changes, lifetime)) or Outcome.ABSENT

    def _update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        with self._folders.lock_shard(key) as (_, shard):
            saved = self._load_live(shard, key)
            if saved is None:
                return Outcome.ABSENT if self._load_mark(shard, key) is None else Outcome.ENDED
            updated = saved.update(changes, lifetime, self._clock())
            if isinstance(updated, Outcome):
                return updated
            self._replace(shard, key, updated)
            return Outcome.APPLIED

    def delete(self, key: str) -> None:
        with self._folders.lock_shard(key) as (folder, shard):
            self._remove(folder, shard, key, self._load_readable(shard, key))

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        with self._folders.lock_shard(key) as (folder, shard):
            saved = self._load_readable(shard, key)
            if saved is None and self._load_mark(shard, key) not in {None, SessionMark(ELSEWHERE)}:
                return Outcome.ENDED
            if saved is not None and expect is not None and saved.fields != expect.fields:
                return Outcome.CONFLICT
            # First, so that no request finds neither. A process that dies in between leaves the session alive.
            try:
                self._replace(shard, key + MARK, SavedMark(mark.successor, self._clock() + MARK_SECONDS))
            except OSError:  # as on a full disk
                if expect is not None:
                    raise
            self._remove(folder, shard, key, saved)
            return Outcome.ABSENT if saved is None else Outcome.APPLIED

    def end_many(self, keys: Sequence[str]) -> list[str]:
        ended: list[str] = []
        for number, group in enumerate(_by_shard(keys), 1):
            ended += self._end_in_shard(group)
            if number % _SHARDS_AT_ONCE == 0:
                let_others_work()
        return ended

    def _end_in_shard(self, keys: list[str]) -> list[str]:
        gone: dict[str, SavedSession | None] = {}
        mark = SavedMark(ELSEWHERE, self._clock() + MARK_SECONDS)
        with self._folders.lock_shard(keys[0]) as (folder, shard):
            try:
                for key in keys:
                    saved = self._load_readable(shard, key)
                    if saved is None and self._load_mark(shard, key) not in {None, SessionMark(ELSEWHERE)}:
                        continue
                    # Not to the disk: a machine that stops may lose the mark, but never the end of the session.
                    with suppress(OSError):
                        self._replace(shard, key + MARK, mark, to_disk=False)
                    with suppress(FileNotFoundError):
                        os.unlink(key, dir_fd=shard)
                    gone[key] = saved
            finally:
                if self._durable:
                    os.fsync(shard)
            for key, saved in gone.items():  # after the disk has all of it, so that the index never lacks a session
                if saved is not None and saved.owner is not None:
                    remove_from_index(folder, saved.owner, key)
        return [key for key, saved in gone.items() if saved is not None]

    def quarantine(self, key: str) -> None:
        with (
            self._folders.lock_shard(key) as (folder, shard),
            open_folder(DAMAGED, folder) as damaged,
            suppress(FileNotFoundError),
        ):
            os.rename(key, f"{key}.{time.time_ns()}", src_dir_fd=shard, dst_dir_fd=damaged)
            os.fsync(damaged)
            os.fsync(shard)

    def ping(self) -> float:
        with self._folders.open_root():
            return self._clock()

    def close(self) -> None:
        return None

    def keys_of(self, owner: str) -> list[str]:
        seen: set[str] = set()
        found: list[tuple[float, str]] = []
        while keys := self._indexed_keys(owner) - seen:
            alive = self._load_all_owned(keys, owner)
            found += alive
            if len(alive) == len(keys):
                break
            seen |= keys  # a missing session may have moved to a key that was added meanwhile
        return [key for _, key in sorted(found)]

    def page_of(self, owner: str, first: int, count: int) -> list[str]:
        with self._folders.open_root() as folder:
            return list_newest(folder, owner, first, count)

    def _indexed_keys(self, owner: str) -> set[str]:
        with self._folders.open_root() as folder:
            return list_index(folder, owner)

    def keys(self) -> Iterator[str]:
        for name in SHARDS:
            live: list[str] = []
            with self._folders.open_root() as folder, suppress(FileNotFoundError), open_folder(name, folder) as shard:
                live = [entry.name for entry in os.scandir(shard) if _expires(entry) > self._clock()]
            yield from live

    def count(self) -> int:
        return sum(1 for _ in self.keys())

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        """Remove expired sessions, one process at a time; the others return 0 at once.

        Continues with the shard where the last sweep stopped. Quarantines corrupt files, and leaves those of a later
        version alone.
        """
        gone: list[str] = []
        try:
            return self._sweep_shards(limit, gone)
        finally:
            for key in gone:
                on_expired(key)

    def _sweep_shards(self, limit: int, gone: list[str]) -> int:
        removed = 0
        with self._folders.open_root() as folder, lock("sweeping", folder, timeout=0) as is_mine:
            if not is_mine:
                return 0
            for _ in SHARDS:
                this, self._next_shard = self._next_shard, (self._next_shard + 1) % len(SHARDS)
                # The next sweep begins after one that fails.
                with suppress(FileNotFoundError), open_folder(SHARDS[this], folder) as shard:
                    removed += self._sweep_shard(shard, limit - removed, gone)
                if removed >= limit:
                    self._next_shard = this
                    return removed
                let_others_work()
            with open_folder(DAMAGED, folder) as damaged:
                remove_older(damaged, "", QUARANTINE_SECONDS)
        return removed

    def _sweep_shard(self, shard: int, limit: int, gone: list[str]) -> int:
        remove_older(shard, ".new", ABANDONED_SECONDS)
        remove_older(shard, MARK, MARK_SECONDS)
        now = self._clock()
        expired = [entry.name for entry in os.scandir(shard) if 0 < _expires(entry) <= now]
        removed = 0
        for key in expired:
            if removed >= limit:
                break
            removed += read_record(self, key, partial(self._remove_expired, key, gone)) is not False
        return removed

    def _remove_expired(self, key: str, gone: list[str]) -> bool:
        with self._folders.lock_shard(key) as (folder, shard):
            try:
                saved = unpack(read(key, shard, self._max_record))
            except (UnsupportedRecordVersion, FileNotFoundError):
                return False  # only a later version knows when its sessions end
            if saved.expires > self._clock():
                return False
            os.unlink(key, dir_fd=shard)
            gone.append(key)
            if saved.owner is not None:
                remove_from_index(folder, saved.owner, key)
        return True

    def _load_all_owned(self, keys: Iterable[str], owner: str) -> list[tuple[float, str]]:
        """Return when each live session of this user was created, and its key. Remove the other keys from the index."""
        found: list[tuple[float, str]] = []
        for number, group in enumerate(_by_shard(keys), 1):
            with self._folders.open_shard(group[0]) as (_, shard):
                loaded = {key: self._load_owned(shard, key, owner) for key in group}
            for key in [key for key, saved in loaded.items() if saved is None]:
                with self._folders.lock_shard(key) as (folder, shard):  # it may be about to be created
                    if (saved := self._load_owned(shard, key, owner)) is None:
                        remove_from_index(folder, owner, key)
                loaded[key] = saved
            found += [(saved.created, key) for key, saved in loaded.items() if saved is not None]
            if number % _SHARDS_AT_ONCE == 0:
                let_others_work()
        return found

    def _load_owned(self, shard: int, key: str, owner: str) -> SavedSession | None:
        """Return the live session, if it is this user's."""
        with suppress(CorruptRecord):
            saved = self._load_live(shard, key)
            return saved if saved is not None and saved.owner == owner else None
        return None

    def _load_live(self, shard: int, key: str) -> SavedSession | None:
        try:
            saved = unpack(read(key, shard, self._max_record))
        except FileNotFoundError:
            return None
        return saved if saved.expires > self._clock() else None

    def _load_readable(self, shard: int, key: str) -> SavedSession | None:
        """Return the live session; None also where the record can't be read."""
        with suppress(CorruptRecord, UnsupportedRecordVersion):
            return self._load_live(shard, key)
        return None

    def _load_mark(self, shard: int, key: str) -> SessionMark | None:
        try:
            saved = unpack_mark(read(key + MARK, shard, self._max_record))
        except FileNotFoundError:
            return None
        except CorruptRecord:
            return SessionMark()  # whatever it said, the session has ended
        return SessionMark(saved.successor) if saved.expires > self._clock() else None

    def _replace(self, shard: int, name: str, saved: SavedSession | SavedMark, to_disk: bool = True) -> None:
        data = pack(saved)
        if len(data) > self._max_record:
            raise SessionTooLarge(f"the file of a session must have at most {self._max_record} bytes, not {len(data)}")
        durable = self._durable and to_disk
        temporary = write_new(data, shard, mtime=saved.expires, durable=durable)
        os.rename(temporary, name, src_dir_fd=shard, dst_dir_fd=shard)
        if durable:
            os.fsync(shard)

    def _remove(self, folder: int, shard: int, key: str, saved: SavedSession | None) -> None:
        """Remove the file of a session and its entry in the index."""
        with suppress(FileNotFoundError):
            os.unlink(key, dir_fd=shard)
            if self._durable:
                os.fsync(shard)
        if saved is not None and saved.owner is not None:
            remove_from_index(folder, saved.owner, key)


def _by_shard(keys: Iterable[str]) -> Iterator[list[str]]:
    for _, group in groupby(sorted(keys), key=lambda key: key[:2]):
        yield list(group)


def _expires(entry: os.DirEntry[str]) -> float:
    """Return when a session expires; 0 for other files and for a file that no longer exists."""
    return get_times(entry)[0] if KEYS.match(entry.name) else 0.0
