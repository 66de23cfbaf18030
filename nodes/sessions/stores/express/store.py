"""Sessions that a Node application on express-session and connect-redis shares, byte for byte.

    load       GET, PTTL, TIME                              in one packet
    create     TIME; then SET NX PX
    update     GET, PTTL, TIME; then EVALSHA SWAP           GET, SET PX; again where somebody wrote in between
                 of nothing but the time: … then PEXPIRE
    delete     EVALSHA TAKE                                 GET, PTTL, DEL
    set_aside  RENAME, PEXPIRE                              in one packet
    ping       TIME
    keys       SCAN, as often as it takes; so does count

The key is `sess:<id>` and the value JSON (`express_json.py`); the key's time to live is the truth about when a session
ends, as it is there. A change is read, merged key by key and swapped in where nothing else was written meanwhile: this
side overwrites no writer of the other, which can't promise the same. It has no index of a user's sessions, since
Express would not keep it. docs/express.md says what each side guarantees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from ...codec import Codec
from ...cookie import CookieFormat
from ...counters import is_counter
from ...store import Budgets, Changes, CorruptRecord, Lifetime, Outcome, Record, StoreUnavailable
from ..redis.client import Calls, connections_of
from ..redis.connection import Command
from ..redis.outage import OutagePolicy, held
from ..redis.scripts import Script
from .cookie import ExpressCookie
from .format import UNKNOWN_AGE, Document, Documents, log_damaged, until_swapped

NO_EXPIRY = 86400.0
"""The time to live of a key without one: connect-redis's own default."""
SET_ASIDE_MS = 24 * 60 * 60 * 1000

# KEYS: the session. ARGV: the value that was read, the new one, ms. Returns 1, 0 where it changed, -1 where it is gone.
SWAP = Script("""
local value = redis.call('GET', KEYS[1])
if not value then return -1 end
if value ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")
# KEYS: the session. Returns its value and its time to live in ms, or nil where there is none.
TAKE = Script("""
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return nil end
local value = kind == 'string' and redis.call('GET', KEYS[1]) or ''
local ttl = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
return {value, ttl}
""")


class ExpressStore:
    """`prefix` is connect-redis's; `owner_field` the key of the session in which Express keeps who is logged in.

    Keys are ids here, not hashes: whoever reads this Redis can log in as anyone. Logs still name only the hash.
    """

    def __init__(self, calls: Calls, close: Any, prefix: str = "sess:", owner_field: str = "user") -> None:
        self._documents = Documents(owner_field)
        self.codec: Codec = self._documents.codec
        self.cookie: CookieFormat = ExpressCookie()
        self._calls = calls
        self._close = close
        self._prefix = prefix

    @classmethod
    def from_url(
        cls,
        url: str,
        budgets: Budgets | None = None,
        prefix: str = "sess:",
        owner_field: str = "user",
        outage: OutagePolicy | None = None,
    ) -> ExpressStore:
        """`url` is redis://, rediss://, unix:// or redis+sentinel://. Connects when first used.

        Where `outage` waits, a write is held only if it was certainly not applied: what Express reads has no place for
        a token.
        """
        connections = connections_of(url, budgets or Budgets())
        if url.partition("://")[0].endswith("+cluster"):
            raise ValueError("a Redis Cluster is not for what Express reads: a session would be in more than one slot")
        return cls(Calls(held(connections, outage or OutagePolicy())), connections.close, prefix, owner_field)

    def load(self, key: str) -> Record | None:
        found = self._read(key)
        return self._record(*found[1:]) if found else None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        made, created = self._documents.made(fields, owner, lifetime, created, self.ping())
        if made.milliseconds <= 0:
            return created
        command: Command = ("SET", self._key(key), made.document.dump(), "NX", "PX", made.milliseconds)
        return created if self._calls.run([command])[0] is not None else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return until_swapped(lambda: self._try(key, changes, lifetime))

    def _try(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome | None:
        """None where somebody wrote in between."""
        found = self._read(key)
        if found is None:
            return Outcome.ABSENT
        value, document, _, now = found
        merged = self._documents.merged(document, changes, lifetime, now)
        if isinstance(merged, Outcome):
            return merged
        if merged.milliseconds <= 0:
            self.delete(key)
            return Outcome.ABSENT
        if merged.is_touch:
            touch: Command = ("PEXPIRE", self._key(key), merged.milliseconds)
            return Outcome.APPLIED if self._calls.run([touch])[0] else Outcome.ABSENT
        swap = SWAP.call((self._key(key),), value, document.dump(), merged.milliseconds)
        return {1: Outcome.APPLIED, 0: None, -1: Outcome.ABSENT}[int(self._calls.run([swap])[0])]

    def delete(self, key: str) -> Record | None:
        answer = self._calls.run([TAKE.call((self._key(key),))])[0]
        if answer is None:
            return None
        value, ttl = answer
        try:
            return self._record(self._documents.parse(value), ttl, UNKNOWN_AGE)
        except CorruptRecord:
            return None

    def quarantine(self, key: str) -> None:
        """Out of Express's sight too, which would answer 500 for ever."""
        aside = f"damaged:{self._key(key)}"
        commands: list[Command] = [("RENAME", self._key(key), aside), ("PEXPIRE", aside, SET_ASIDE_MS)]
        for answer in self._calls.send(commands):
            if isinstance(answer, redis.ResponseError) and "no such key" not in str(answer):
                raise StoreUnavailable(f"Redis: {answer}") from answer

    def ping(self) -> float:
        return _seconds(self._calls.run([("TIME",)], idempotent=True)[0])

    def keys(self) -> Iterator[str]:
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self._prefix) + "*"
        seen: set[str] = set()
        cursor: bytes | str = "0"
        while True:
            command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            cursor, names = self._calls.run([command], idempotent=True)[0]
            for name in names:
                key = name.decode("utf-8", "replace").removeprefix(self._prefix)
                if key not in seen and not is_counter(key):
                    seen.add(key)
                    yield key
            if int(cursor) == 0:
                return

    def count(self) -> int:
        return sum(1 for _ in self.keys())

    def close(self) -> None:
        self._close()

    def _key(self, key: str) -> str:
        return f"{self._prefix}{key}"

    def _read(self, key: str) -> tuple[bytes, Document, int, float] | None:
        """The value, what it says, its time to live in ms, and the server's time."""
        name = self._key(key)
        value, ttl, time = self._calls.send((("GET", name), ("PTTL", name), ("TIME",)), idempotent=True)
        for answer in (value, ttl, time):
            if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                raise StoreUnavailable(f"Redis: {answer}") from answer
        if value is None or ttl == -2:
            return None
        try:
            # A key of another type is no JSON either.
            document = self._documents.parse(b"" if isinstance(value, Exception) else value)
        except CorruptRecord as error:
            log_damaged(key, error)
            self.quarantine(key)
            return None
        return value, document, ttl, _seconds(time)

    def _record(self, document: Document, ttl: int, now: float) -> Record:
        return self._documents.record(document, ttl / 1000 if ttl >= 0 else NO_EXPIRY, now)


def _seconds(time: list[bytes]) -> float:
    seconds, microseconds = time
    return int(seconds) + int(microseconds) / 1e6
