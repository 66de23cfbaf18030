"""Sessions in this process's memory: the reference store.

Fast, and right for one process. A second process does not see them, and a restart loses them, which is what this
project shows. No operation leaves the process. A full store refuses new sessions instead of logging users out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from ..checks import OptionsError, check_type
from ..codec import Codec, MsgpackCodec
from ..cookie import CookieFormat, SignedCookie
from ..store import ELSEWHERE, MARK_SECONDS, Changes, Lifetime, Outcome, Record, SessionMark, StoreUnavailable
from .saved import SavedSession


class MemoryStore:
    """Holds at most `max_sessions` sessions, and as many marks; `clock` returns seconds since the epoch."""

    def __init__(self, max_sessions: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        check_type("max_sessions", max_sessions, int, "an int")
        if max_sessions < 1:
            raise OptionsError(f"max_sessions must be at least 1, not {max_sessions}")
        if not callable(clock):
            raise TypeError(f"clock must be a function, not {clock!r}")
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self._entries: dict[str, SavedSession] = {}
        self._marks: dict[str, tuple[float, SessionMark]] = {}
        """By key when each mark expires, the earliest first, and the mark."""
        self._lock = threading.Lock()
        self._max_sessions = max_sessions
        self._clock = clock

    def load(self, key: str) -> Record | SessionMark | None:
        with self._lock:
            entry = self._live(key)
            return entry.to_record(self._clock()) if entry else self._mark(key)

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        with self._lock:
            if self._live(key):
                return None
            if len(self._entries) >= self._max_sessions:
                self._entries = dict(self._alive())
            if len(self._entries) >= self._max_sessions:
                raise StoreUnavailable(f"the memory store is full: it holds {self._max_sessions} sessions")
            now = self._clock()
            created = now if created is None else created
            self._entries[key] = SavedSession.make(dict(fields), owner, created, now, lifetime)
            return created

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        with self._lock:
            entry = self._live(key)
            if entry is None:
                return Outcome.ABSENT if self._mark(key) is None else Outcome.ENDED
            updated = entry.update(changes, lifetime, self._clock())
            if isinstance(updated, Outcome):
                return updated
            self._entries[key] = updated
            return Outcome.APPLIED

    def delete(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        with self._lock:
            entry = self._live(key)
            if entry is None and self._mark(key) not in {None, SessionMark(ELSEWHERE)}:
                return Outcome.ENDED
            if entry is not None and expect is not None and entry.fields != expect.fields:
                return Outcome.CONFLICT
            self._entries.pop(key, None)
            self._add_mark(key, mark)
            return Outcome.ABSENT if entry is None else Outcome.APPLIED

    def quarantine(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def ping(self) -> float:
        return self._clock()

    def keys_of(self, owner: str) -> list[str]:
        with self._lock:
            found = [(entry.created, key) for key, entry in self._alive() if entry.owner == owner]
        return [key for _, key in sorted(found)]

    def keys(self) -> Iterator[str]:
        with self._lock:
            return iter([key for key, _ in self._alive()])

    def count(self) -> int:
        with self._lock:
            return len(self._alive())

    def used_share(self) -> float:
        with self._lock:
            self._entries = dict(self._alive())
            return len(self._entries) / self._max_sessions

    def close(self) -> None:
        return None

    def _live(self, key: str) -> SavedSession | None:
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._clock():
            del self._entries[key]
            return None
        return entry

    def _mark(self, key: str) -> SessionMark | None:
        expires, mark = self._marks.get(key, (0.0, None))
        return mark if expires > self._clock() else None

    def _add_mark(self, key: str, mark: SessionMark) -> None:
        """Add a mark, and remove the expired ones."""
        now = self._clock()
        self._marks.pop(key, None)
        self._marks[key] = now + MARK_SECONDS, mark
        while (oldest := next(iter(self._marks))) and (
            self._marks[oldest][0] <= now or len(self._marks) > self._max_sessions
        ):
            del self._marks[oldest]

    def _alive(self) -> list[tuple[str, SavedSession]]:
        now = self._clock()
        return [(key, entry) for key, entry in self._entries.items() if entry.expires > now]
