"""Sessions in this process's memory: the reference store.

Fast, and right for one process. A second process does not see them, and a restart loses them, which is what this
project shows. No operation leaves the process. A full store refuses new sessions instead of logging users out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..codec import Codec, MsgpackCodec
from ..cookie import CookieFormat, SignedCookie
from ..store import Changes, Lifetime, Outcome, Record, StoreUnavailable


@dataclass(slots=True)
class _Entry:
    fields: dict[str, bytes]
    owner: str | None
    created: float
    expires: float
    final: bool


class MemoryStore:
    """Holds at most `max_sessions` sessions; `clock` returns seconds since the epoch."""

    def __init__(self, max_sessions: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._max_sessions = max_sessions
        self._clock = clock

    def load(self, key: str) -> Record | None:
        with self._lock:
            entry = self._live(key)
            return self._record(entry) if entry else None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        with self._lock:
            if self._live(key):
                return None
            if len(self._entries) >= self._max_sessions:
                self._drop_expired()
            if len(self._entries) >= self._max_sessions:
                raise StoreUnavailable(f"the memory store is full: it holds {self._max_sessions} sessions")
            entry = _Entry(dict(fields), owner, self._clock() if created is None else created, 0.0, False)
            self._touch(entry, lifetime)
            self._entries[key] = entry
            return entry.created

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        with self._lock:
            entry = self._live(key)
            if entry is None or entry.created + lifetime.absolute <= self._clock():
                return Outcome.ABSENT
            if refusal := changes.refusal(entry.fields):
                return refusal
            entry.fields = changes.apply_to(entry.fields)
            self._touch(entry, lifetime)
            return Outcome.APPLIED

    def delete(self, key: str) -> Record | None:
        with self._lock:
            entry = self._live(key)
            self._entries.pop(key, None)
            return self._record(entry) if entry else None

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

    def close(self) -> None:
        return None

    def _live(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._clock():
            del self._entries[key]
            return None
        return entry

    def _record(self, entry: _Entry) -> Record:
        ttl = entry.expires - self._clock()
        return Record(dict(entry.fields), entry.owner, entry.created, ttl, entry.final)

    def _touch(self, entry: _Entry, lifetime: Lifetime) -> None:
        idle, absolute = self._clock() + lifetime.idle, entry.created + lifetime.absolute
        entry.expires, entry.final = min(idle, absolute), absolute <= idle

    def _alive(self) -> list[tuple[str, _Entry]]:
        now = self._clock()
        return [(key, entry) for key, entry in self._entries.items() if entry.expires > now]

    def _drop_expired(self) -> None:
        self._entries = dict(self._alive())
