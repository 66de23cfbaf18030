"""Sessions that a Node application on express-session and session-file-store shares, in the files of one folder.

A session is `<id>.json` with express-session's JSON (`express_json.py`) and `"__lastAccess"`. It ends so many
milliseconds after that as its `originalMaxAge` says, or else `ttl`. Our side writes the last access that makes that the
end which it means, so both agree on it. Beside the sessions lie `.locks`, and `.damaged`, where files that can't be
read are kept for a day. The system calls of each operation, between `open` of the folder and its `close`:

    load       open, fstat, read, close
    create     open and flock of a lock; load; then replace
    update     open and flock of a lock; load; then replace             again where Express wrote in between
    delete     open and flock of a lock; load; unlink, fsync of the folder
    set_aside  open and flock of a lock; rename, fsync of both folders
    replace    open of a temporary file, write, utime, fsync, close; load; rename, fsync of the folder
    keys       load of each session; so do count and sweep

The locks are for our own processes: Express knows none. What it writes or ends before the load in `replace` is noticed;
what it does between that and the rename, the next system call, is overwritten: a file has no compare-and-set.

Both sides must run as the same user. As in `file.py` the folder belongs on a disk of this machine, and `fsync` holds up
the whole worker under gevent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ..codec import Codec
from ..cookie import CookieFormat
from ..counters import is_counter
from ..express_cookie import ExpressCookie
from ..powers import Expired, unheard
from ..store import Changes, Lifetime, Outcome, Record
from .express_folder import NAMES, Folder, keys_in, read_session, remove_session, replace_session
from .express_json import DamagedJson, Document
from .express_merge import Documents, Merged, log_damaged, until_swapped


class ExpressFileStore:
    """In `folder`, session-file-store's `path`, which is made when it is first needed.

    `ttl` is session-file-store's, in seconds, and `owner_field` the key of the session in which Express keeps who is
    logged in. `lock_timeout` is how many seconds an operation waits for others of our processes; then it is
    `StoreUnavailable`. `clock` returns seconds since the epoch; it has to be the same for all processes.

    Keys are ids here, not hashes: whoever reads this folder can log in as anyone. Logs still name only the hash.
    """

    def __init__(
        self,
        folder: Path,
        ttl: float = 3600.0,
        owner_field: str = "user",
        lock_timeout: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._documents = Documents(owner_field)
        self.codec: Codec = self._documents.codec
        self.cookie: CookieFormat = ExpressCookie(NAMES)
        self._folder = Folder(Path(folder), lock_timeout)
        self._ttl = ttl
        self._clock = clock

    def load(self, key: str) -> Record | None:
        try:
            with self._folder.opened() as folder:
                document = self._live(read_session(key, folder))
                return self._record(document) if document else None
        except DamagedJson as error:
            self._damaged(key, error)
            return None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        with self._folder.locked(key) as folder:
            before = read_session(key, folder)
            with suppress(DamagedJson):  # replaced, as an expired one would be
                if self._live(before) is not None:
                    return None
            now = self._clock()
            made, created = self._documents.made(fields, owner, lifetime, created, now)
            return created if made.milliseconds <= 0 or self._replace(folder, key, before, made, now) else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        try:
            return until_swapped(lambda: self._try(key, changes, lifetime))
        except DamagedJson as error:
            self._damaged(key, error)
            return Outcome.ABSENT

    def _try(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome | None:
        """None where Express wrote in between."""
        with self._folder.locked(key) as folder:
            before = read_session(key, folder)
            document = self._live(before)
            if document is None:
                return Outcome.ABSENT
            now = self._clock()
            merged = self._documents.merged(document, changes, lifetime, now)
            if isinstance(merged, Outcome):
                return merged
            if merged.milliseconds <= 0:
                remove_session(key, folder)
                return Outcome.ABSENT
            return Outcome.APPLIED if self._replace(folder, key, before, merged, now) else None

    def delete(self, key: str) -> Record | None:
        with self._folder.locked(key) as folder:
            document = None
            with suppress(DamagedJson):
                document = self._live(read_session(key, folder))
            remove_session(key, folder)
            return self._record(document) if document else None

    def set_aside(self, key: str) -> None:
        """Out of Express's sight too, which would remove it and answer 500."""
        self._folder.set_aside(key)

    def ping(self) -> float:
        with self._folder.opened():
            return self._clock()

    def close(self) -> None:
        return None

    def keys(self) -> Iterator[str]:
        with self._folder.opened() as folder:
            live = [key for key in keys_in(folder) if not is_counter(key) and self._is_live(key, folder)]
        yield from live

    def count(self) -> int:
        return sum(1 for _ in self.keys())

    def sweep(self, limit: int = 1000, expired: Expired = unheard) -> int:
        """One of our processes at a time; the others return 0 at once. session-file-store sweeps hourly as well."""
        gone: list[str] = []
        try:
            with self._folder.sweeping() as folder:
                if folder is None:
                    return 0
                for key in keys_in(folder):
                    if len(gone) >= limit:
                        break
                    if self._is_live(key, folder) is False and self._remove_expired(key):
                        gone.append(key)
        finally:
            for key in gone:
                expired(key)
        return len(gone)

    # ---- one session

    def _remove_expired(self, key: str) -> bool:
        with self._folder.locked(key) as folder:
            return self._is_live(key, folder) is False and remove_session(key, folder)

    def _is_live(self, key: str, folder: int) -> bool | None:
        """None where it is gone by now, or can't be read, which whoever loads it finds out."""
        try:
            data = read_session(key, folder)
            return None if data is None else self._live(data) is not None
        except DamagedJson:
            return None

    def _live(self, data: bytes | None) -> Document | None:
        """`DamagedJson` where it is no session; one whose end nobody can tell is none."""
        if data is None:
            return None
        document = self._documents.parse(data)
        return document if self._left(document) > 0 else None

    def _left(self, document: Document) -> float:
        """The seconds that are left, as session-file-store reckons."""
        if document.last_access is None:
            raise DamagedJson("it has no __lastAccess")
        return (document.last_access + self._age(document)) / 1000 - self._clock()

    def _age(self, document: Document) -> float:
        return document.max_age or self._ttl * 1000

    def _record(self, document: Document) -> Record:
        return self._documents.record(document, self._left(document), self._clock())

    def _replace(self, folder: int, key: str, before: bytes | None, merged: Merged, now: float) -> bool:
        """False, with nothing changed, where Express wrote in between."""
        document = merged.document
        document.last_access = round(now * 1000 - self._age(document)) + merged.milliseconds
        return replace_session(key, folder, before, document.dump(), mtime=now)

    def _damaged(self, key: str, why: DamagedJson) -> None:
        log_damaged(key, why)
        self.set_aside(key)
