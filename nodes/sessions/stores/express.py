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

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from ..budgets import Budgets
from ..codec import Codec
from ..cookie import CookieFormat, key_of
from ..express_cookie import ExpressCookie
from ..store import Changes, Lifetime, Outcome, Record, StoreUnavailable, size_of
from .express_json import DamagedJson, Document, JsonCodec
from .redis_calls import Calls
from .redis_connection import Command, Connections
from .redis_scripts import Script
from .redis_url import pool_of

log = logging.getLogger("nodes.sessions")

UNKNOWN_AGE = 3600.0
"""How old a session of Express's counts as, in seconds, until our side first writes it: too old for a fresh login, and
young enough for the absolute timeout."""
NO_EXPIRY = 86400.0
"""The time to live of a key without one: connect-redis's own default."""
SET_ASIDE_MS = 24 * 60 * 60 * 1000
MAX_SWAPS = 100
_COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}

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
        self._json = JsonCodec()
        self.codec: Codec = self._json
        self.cookie: CookieFormat = ExpressCookie()
        self._calls = calls
        self._close = close
        self._prefix = prefix
        self._owner_field = owner_field

    @classmethod
    def from_url(
        cls, url: str, budgets: Budgets | None = None, prefix: str = "sess:", owner_field: str = "user"
    ) -> ExpressStore:
        """`url` is redis://, rediss:// or unix://. Connects when first used."""
        budgets = budgets or Budgets()
        connections = Connections(pool_of(url, budgets, None), budgets)
        return cls(Calls(connections), connections.close, prefix, owner_field)

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
        now = self.ping()
        created = int((now if created is None else created) * 1000 + 0.001) / 1000
        document = Document({}, dict(_COOKIE), self._owner_field)
        if owner is not None:
            document.values[self._owner_field] = self._json.encode(owner)
        document.set(fields)
        document.values["_created"] = b"%d" % round(created * 1000)
        milliseconds = self._until(document, lifetime, created, now)
        if milliseconds <= 0:
            return created
        command: Command = ("SET", self._key(key), document.dump(), "NX", "PX", milliseconds)
        return created if self._calls.run([command])[0] is not None else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        for _ in range(MAX_SWAPS):
            outcome = self._try(key, changes, lifetime)
            if outcome is not None:
                return outcome
        raise StoreUnavailable(f"gave up after {MAX_SWAPS} writers in between")

    def _try(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome | None:
        """None where somebody wrote in between."""
        found = self._read(key)
        if found is None:
            return Outcome.ABSENT
        value, document, _, now = found
        created = document.created
        if created is None:
            created = now - min(UNKNOWN_AGE, lifetime.absolute / 2)
        fields = document.fields(self._json)
        if any(fields.get(name) != expected for name, expected in changes.expect.items()):
            return Outcome.CONFLICT
        if changes.set and changes.max_bytes is not None and size_of(changes.applied_to(fields)) > changes.max_bytes:
            return Outcome.TOO_LARGE
        is_touch, was_final = not (changes.set or changes.delete), document.final
        for name in changes.delete:
            document.delete(name)
        document.set(changes.set)
        document.values["_created"] = b"%d" % round(created * 1000)
        milliseconds = self._until(document, lifetime, created, now)
        if milliseconds <= 0:
            self.delete(key)
            return Outcome.ABSENT
        if is_touch and document.final == was_final:
            touch: Command = ("PEXPIRE", self._key(key), milliseconds)
            return Outcome.APPLIED if self._calls.run([touch])[0] else Outcome.ABSENT
        answer = self._calls.run([SWAP.call((self._key(key),), value, document.dump(), milliseconds)])[0]
        return {1: Outcome.APPLIED, 0: None, -1: Outcome.ABSENT}[int(answer)]

    def delete(self, key: str) -> Record | None:
        answer = self._calls.run([TAKE.call((self._key(key),))])[0]
        if answer is None:
            return None
        value, ttl = answer
        try:
            return self._record(Document.parse(value, self._owner_field), ttl, None)
        except DamagedJson:
            return None

    def set_aside(self, key: str) -> None:
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
                if key not in seen:
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
            return (
                value,
                Document.parse(b"" if isinstance(value, Exception) else value, self._owner_field),
                ttl,
                _seconds(time),
            )
        except DamagedJson as error:
            log.error("session %s is damaged and was set aside: %s", key_of(key), error)  # noqa: TRY400 - a line
            self.set_aside(key)
            return None

    def _record(self, document: Document, ttl: int, now: float | None) -> Record:
        created = document.created
        if created is None:
            created = (now or UNKNOWN_AGE) - UNKNOWN_AGE
        seconds = ttl / 1000 if ttl >= 0 else NO_EXPIRY
        return Record(document.fields(self._json), document.owner, created, seconds, document.final)

    def _until(self, document: Document, lifetime: Lifetime, created: float, now: float) -> int:
        """The milliseconds that are left, which the document then says as well."""
        idle, absolute = lifetime.idle, created + lifetime.absolute - now
        ttl = min(idle, absolute)
        document.expire(now, ttl, final=absolute <= idle)
        return int(ttl * 1000)


def _seconds(time: list[bytes]) -> float:
    seconds, microseconds = time
    return int(seconds) + int(microseconds) / 1e6
