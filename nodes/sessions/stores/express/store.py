"""Sessions shared with a Node application on express-session and connect-redis, byte for byte.

    load       GET, PTTL, TIME                              in one packet; then GET of the mark where it is absent
    create     TIME; then SET NX PX
    update     GET, PTTL, TIME; then EVALSHA SWAP           GET, SET PX; again where another client wrote in between
                 of nothing but the time: … then PEXPIRE
    delete     DEL
    retire     EVALSHA RETIRE                               TYPE, GET, DEL, SET PX
                 of expected fields: GET, PTTL, TIME first; again where another client wrote in between
    quarantine RENAME, PEXPIRE                              in one packet
    ping       TIME
    keys       SCAN, as often as it takes; so does count
    used_share INFO memory
    find_keys_of  SCAN, as often as it takes, and MGET of 25 keys each

The key is `sess:<id>` and the value JSON (`format.py`). The key's time to live says when a session ends, as in Express.
A mark is under `ended:sess:<id>`, and Express does not know it. A change is read, merged key by key, and swapped in
where nothing else was written meanwhile, so this side never overwrites a write of Express; Express can't promise that.
The sessions of a user have no index, because Express would not maintain it: a change of password looks at all sessions.
docs/express.md says what each side guarantees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import redis

from ...checks import check_type
from ...codec import Codec
from ...cookie import CookieFormat
from ...corrupt import read_record
from ...store import (
    ELSEWHERE,
    MARK_SECONDS,
    QUARANTINE_SECONDS,
    Budgets,
    Changes,
    CorruptRecord,
    Lifetime,
    Outcome,
    Record,
    SessionMark,
    StoreUnavailable,
)
from ..redis.client import RedisClient, check_connections, connect, escape_pattern, to_seconds
from ..redis.cluster import ClusterConnections
from ..redis.connection import Command, CommandExecutor
from ..redis.from_client import to_url
from ..redis.memory_usage import MemoryGauge
from ..redis.outage import OutagePolicy, with_outage_policy
from ..redis.reply_forms import is_int, is_one_of
from ..redis.scripts import Script
from .cookie import ExpressCookie
from .format import UNKNOWN_AGE, Document, JsonCodec

NO_EXPIRY = 86400.0
"""The time to live of a key without one, in seconds: connect-redis's own default."""
MAX_SWAPS = 100
_BATCH = 25
"""Sessions in one reply, which is bounded (`Budgets.max_reply`)."""

# KEYS: the session. ARGV: the value that was read, the new one, ms. Returns 1, or 0 where it changed or is gone.
SWAP = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""",
    is_int,
)
# KEYS: the session, its mark. ARGV: the successor, ms that the mark stays, perhaps the value that was read. DEL is the
# first write, which a full server does not refuse.
RETIRE = Script(
    f"""
local answer = 'ok'
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  local earlier = redis.call('GET', KEYS[2])
  if earlier and earlier ~= '{ELSEWHERE.decode()}' then return 'ended' end
  answer = 'absent'
elseif ARGV[3] and (kind ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[3]) then
  return 'changed'
end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return answer
""",
    is_one_of(b"ok", b"absent", b"ended", b"changed"),
)
_RETIRED = {b"ok": Outcome.APPLIED, b"absent": Outcome.ABSENT, b"ended": Outcome.ENDED}


class ExpressStore:
    """Sessions under `prefix`, as connect-redis has it. `owner_field` is the key under which Express keeps the user.

    Keys are ids here, not hashes: anyone who reads this Redis can log in as any user. Logs name only the hash. Raises
    ValueError for `connections` to a Redis Cluster.
    """

    def __init__(
        self,
        connections: CommandExecutor,
        prefix: str = "sess:",
        owner_field: str = "user",
        outage: OutagePolicy | None = None,
    ) -> None:
        check_connections(connections)
        check_type("prefix", prefix, str, "a str")
        check_type("owner_field", owner_field, str, "a str")
        if isinstance(connections, ClusterConnections):
            # The value of the URL is wrong, not a type.
            raise ValueError(  # noqa: TRY004
                "a Redis Cluster can't hold Express's sessions: their keys have no hash tag; use Sentinels"
            )
        self.codec: Codec = JsonCodec()
        self.cookie: CookieFormat = ExpressCookie()
        self._connections = connections
        self._client = RedisClient(with_outage_policy(connections, outage or OutagePolicy()))
        self._gauge = MemoryGauge(connections)
        self._prefix = prefix
        self._owner_field = owner_field

    @classmethod
    def from_url(
        cls,
        url: str,
        budgets: Budgets | None = None,
        prefix: str = "sess:",
        owner_field: str = "user",
        outage: OutagePolicy | None = None,
    ) -> ExpressStore:
        """Make a store that connects when first used. `url` is redis://, rediss://, unix:// or redis+sentinel://.

        Where `outage` waits, a write is held only if it was certainly not applied: the format has no place for a token.
        """
        return cls(connect(url, budgets or Budgets()), prefix, owner_field, outage)

    @classmethod
    def from_client(
        cls,
        client: redis.Redis,
        budgets: Budgets | None = None,
        prefix: str = "sess:",
        owner_field: str = "user",
        outage: OutagePolicy | None = None,
    ) -> ExpressStore:
        """Make a store with connections of its own to the servers of a client: see `RedisStore.from_client`.

        Raises TypeError for other clients, and ValueError for a client with settings that can't be taken over.
        """
        return cls.from_url(to_url(client), budgets, prefix, owner_field, outage)

    def load(self, key: str) -> Record | SessionMark | None:
        found = self._read(key)
        if found is None:
            return self._load_mark(key)
        _, document, ttl, now = found
        return document.to_record(_to_ttl(ttl), now)

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        now = self.ping()
        created = int((now if created is None else created) * 1000 + 0.001) / 1000
        document = Document.make(fields, owner, self._owner_field)
        milliseconds = document.expire(lifetime, created, now)
        if milliseconds <= 0:
            return created
        command: Command = ("SET", self._name(key), document.dump(), "NX", "PX", milliseconds)
        return created if self._client.run([command])[0] is not None else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        for _ in range(MAX_SWAPS):
            outcome = self._try_update(key, changes, lifetime)
            if outcome is not None:
                return outcome
        raise StoreUnavailable(f"gave up after {MAX_SWAPS} writers in between")

    def _try_update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome | None:
        """Read, merge and swap once. Return None if another client wrote or ended it between the read and the swap."""
        found = self._read(key)
        if found is None:
            return Outcome.ABSENT if self._load_mark(key) is None else Outcome.ENDED
        value, document, _, now = found
        if refusal := changes.refusal(document.fields()):
            return refusal
        created, was_final = document.created_or(now - min(UNKNOWN_AGE, lifetime.absolute / 2)), document.final
        document.apply(changes)
        milliseconds = document.expire(lifetime, created, now)
        if milliseconds <= 0:
            self.delete(key)
            return Outcome.ABSENT
        if not (changes.set or changes.delete) and document.final == was_final:
            touch: Command = ("PEXPIRE", self._name(key), milliseconds)
            return Outcome.APPLIED if self._client.run([touch])[0] else None
        swap = SWAP.call((self._name(key),), value, document.dump(), milliseconds)
        return Outcome.APPLIED if self._client.run([swap])[0] == 1 else None

    def delete(self, key: str) -> None:
        command: Command = ("DEL", self._name(key))
        self._client.run([command])

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        for _ in range(MAX_SWAPS):
            arguments: tuple[bytes | int, ...] = (mark.successor, MARK_SECONDS * 1000)
            if expect is not None and (found := self._read(key)) is not None:
                value, document, *_ = found
                if document.fields() != expect.fields:
                    return Outcome.CONFLICT
                arguments = (*arguments, value)
            retire = RETIRE.call((self._name(key), self._mark_name(key)), *arguments)
            reply = self._client.run([retire])[0]
            if reply != b"changed":
                return _RETIRED[reply]
        raise StoreUnavailable(f"gave up after {MAX_SWAPS} writers in between")

    def quarantine(self, key: str) -> None:
        """Rename a corrupt record, so that Express does not find it and answer 500."""
        name = f"damaged:{self._name(key)}"
        commands: list[Command] = [("RENAME", self._name(key), name), ("PEXPIRE", name, QUARANTINE_SECONDS * 1000)]
        for reply in self._client.send(commands):
            if isinstance(reply, redis.ResponseError) and "no such key" not in str(reply):
                raise StoreUnavailable(f"Redis: {reply}") from reply

    def ping(self) -> float:
        return self._client.time()

    def ping_at_once(self) -> float:
        return RedisClient(self._connections).time()

    def keys(self) -> Iterator[str]:
        seen: set[str] = set()
        for name in self._client.scan(escape_pattern(self._prefix) + "*"):
            key = name.decode("utf-8", "replace").removeprefix(self._prefix)
            if key not in seen:
                seen.add(key)
                yield key

    def count(self) -> int:
        return sum(1 for _ in self.keys())

    def find_keys_of(self, owner: str) -> list[str]:
        keys = list(self.keys())
        found: list[str] = []
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            command: Command = ("MGET", *map(self._name, batch))
            values = self._client.run([command], idempotent=True)[0]
            found += [key for key, value in zip(batch, values, strict=True) if value and self._owner(value) == owner]
        return found

    def _owner(self, value: bytes) -> str | None:
        with suppress(CorruptRecord):
            return Document.parse(value, self._owner_field).owner
        return None

    def used_share(self) -> float | None:
        return self._gauge.used_share()

    def reconnect(self) -> None:
        self._client.reconnect()

    def close(self) -> None:
        self._connections.close()

    def _name(self, key: str) -> str:
        return f"{self._prefix}{key}"

    def _mark_name(self, key: str) -> str:
        return f"ended:{self._name(key)}"

    def _load_mark(self, key: str) -> SessionMark | None:
        command: Command = ("GET", self._mark_name(key))
        successor = self._client.run([command], idempotent=True)[0]
        return None if successor is None else SessionMark(successor)

    def _is_of_another_type(self, name: str, error: Exception) -> bool:
        """Return whether the key is not a string. A faulty server may say so of any session."""
        kind: Command = ("TYPE", name)
        return str(error).startswith("WRONGTYPE") and self._client.run([kind], idempotent=True)[0] != b"string"

    def _read(self, key: str) -> tuple[bytes, Document, int, float] | None:
        """Return the value, its document, its time to live in ms, and the server's time; None where it is absent."""
        return read_record(self, key, lambda: self._read_once(key))

    def _read_once(self, key: str) -> tuple[bytes, Document, int, float] | None:
        """Return as `_read` does. Raises `CorruptRecord`."""
        name = self._name(key)
        value, ttl, time = self._client.send((("GET", name), ("PTTL", name), ("TIME",)), idempotent=True)
        for reply in (value, ttl, time):
            if isinstance(reply, Exception) and not (reply is value and self._is_of_another_type(name, reply)):
                raise StoreUnavailable(f"Redis: {reply}") from reply
        if value is None or ttl == -2:
            return None
        # A key of another type is not JSON either.
        document = Document.parse(b"" if isinstance(value, Exception) else value, self._owner_field)
        return value, document, ttl, to_seconds(time)


def _to_ttl(milliseconds: int) -> float:
    """Return the remaining time to live in seconds, from the reply to PTTL."""
    return milliseconds / 1000 if milliseconds >= 0 else NO_EXPIRY
