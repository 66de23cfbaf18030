"""Sessions in Redis or Valkey: a hash per session, a server-side clock, one round trip an operation.

    load      HGETALL key, PTTL key                       in one packet
    create    EVALSHA INDEX, where there is an owner      TIME, ZREMRANGEBYSCORE, ZADD, ZRANGE, PEXPIREAT, ZCARD
              EVALSHA CREATE, in the same packet          EXISTS, TIME, HSET, PEXPIREAT
    update    EVALSHA UPDATE                              TYPE, HGET @, HGETALL, TIME, HSET, HDEL, PEXPIREAT
    delete    EVALSHA DELETE                              TYPE, HGETALL, PTTL, DEL (HSET)
    set_aside EVALSHA SET_ASIDE                           EXISTS, RENAME, PEXPIRE
    ping      TIME
    keys_of   ZRANGE index, then HGET key @ of each       in packets of 500; where some died, EVALSHA PRUNE
                                                          (TIME, ZREM) and ZRANGE once more
    keys      SCAN, as often as it takes; so does count

Once a second ROLE is in the packet of a read, on each connection. Where a write is waited for (`Durability`), WAIT
follows it in its packet. Every 64th login of a user with 256 sessions and more looks after the index: ZRANDMEMBER, HGET
and PRUNE, two or three round trips. A script is sent in full (EVALSHA, then SCRIPT LOAD and EVALSHA in one packet) only
to a server that has not seen it yet.

The key is `session:{<sha-256>}`; the braces keep a session and what was set aside of it in one slot of a Redis Cluster.
Needs Redis 6.2 or Valkey. Give it a server with `maxmemory-policy noeviction`: any other logs people out silently when
memory is short. docs/redis.md has the rest.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...codec import Codec, MsgpackCodec
from ...cookie import CookieFormat, SignedCookie
from ...store import (
    Budgets,
    Changes,
    CorruptRecord,
    Lifetime,
    Outcome,
    Record,
    StoreUnavailable,
    UnsupportedRecordVersion,
)
from . import scripts
from .client import Calls, connections_of, scan
from .connection import Asks, Command
from .outage import Acknowledgement, Durability, OutagePolicy, held
from .scripts import escape, flatten, hash_of, record_of
from .user_index import UserIndex

log = logging.getLogger("nodes.sessions")

_EXPIRED = -2
"""PTTL's answer for a key that is gone: it expired between the two commands of a read."""
SET_ASIDE_MS = 24 * 60 * 60 * 1000
_UPDATE_OUTCOMES = {b"ok": Outcome.APPLIED, b"absent": Outcome.ABSENT, b"conflict": Outcome.CONFLICT,
                    b"large": Outcome.TOO_LARGE}  # fmt: skip


class RedisStore:
    """Over connections that the caller made and that answer in bytes; `from_url` makes them within `budgets`.

    `replicas` is how many of them have to have what `durability` waits for.
    Where `outage` waits or another server can take over, each write carries a token that makes it safe to repeat.
    """

    def __init__(
        self,
        connections: Asks,
        budgets: Budgets | None = None,
        prefix: str = "session:",
        durability: Durability = Durability.PRIMARY,
        replicas: int = 0,
        outage: OutagePolicy | None = None,
    ) -> None:
        outage = outage or OutagePolicy()
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self.budgets = budgets or Budgets()
        self._connections = connections
        self._at_once = Calls(connections)
        self._calls = Calls(held(connections, outage))
        self._writes_are_repeatable = outage.waits or connections.can_fail_over
        self._prefix = prefix
        self._index = UserIndex(self._calls, prefix)
        self._acknowledgement = Acknowledgement(durability, replicas, self.budgets)
        self._after_write = self._acknowledgement.of(revocation=False)
        self._after_delete = self._acknowledgement.of(revocation=True)

    @classmethod
    def from_url(
        cls,
        url: str,
        budgets: Budgets | None = None,
        prefix: str = "session:",
        durability: Durability = Durability.PRIMARY,
        replicas: int = 0,
        ca_file: Path | None = None,
        outage: OutagePolicy | None = None,
    ) -> RedisStore:
        """`url` is redis://, rediss:// (TLS) or unix://, as redis-py reads it, or one of several servers, which
        `redis_servers.Servers` explains: redis+sentinel://. Connects when first used.

        With TLS the server's certificate is verified, its host name too; `ca_file` has the certificates of the
        authorities to trust beside the system's (PEM), as `?ssl_ca_certs=` in the URL has. ValueError
        for a URL that names no store.
        """
        budgets = budgets or Budgets()
        return cls(connections_of(url, budgets, ca_file), budgets, prefix, durability, replicas, outage)

    def load(self, key: str) -> Record | None:
        name = self._key(key)
        stored, ttl = self._calls.send((("HGETALL", name), ("PTTL", name)), idempotent=True)
        if isinstance(stored, Exception):
            if not str(stored).startswith("WRONGTYPE"):
                raise StoreUnavailable(f"Redis: {stored}") from stored
            self._damaged(key, "it is not a hash")
            return None
        if isinstance(ttl, Exception):
            raise StoreUnavailable(f"Redis: {ttl}") from ttl
        return self._record(key, hash_of(stored), ttl)

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        # Down to the millisecond: rounded up, the session would outlive its deadline. A float may lack a trifle, too.
        created_ms = "" if created is None else int(created * 1000 + 0.001)
        commands = [
            scripts.CREATE.call(
                self._written(key), *_milliseconds(lifetime), owner or "", created_ms, *flatten(fields)
            ),
            *self._after_write,
        ]
        if owner is None:
            answers = self._write(commands)
        else:
            insertion = self._index.insertion(owner, key, lifetime, created_ms)
            members, *answers = self._write([insertion, *commands])
        if answers[0] is None:
            return None
        self._acknowledged(answers)
        if owner is not None:
            self._index.look_after(owner, members)
        return int(answers[0]) / 1000

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        # Counts first, then the fields: Lua's unpack takes each part as one slice.
        arguments: list[Any] = [*_milliseconds(lifetime), changes.max_bytes or 0]
        arguments += (len(changes.expect), 2 * len(changes.set))
        for name, expected in changes.expect.items():
            arguments += (escape(name), 0 if expected is None else 1, expected or b"")
        arguments += flatten(changes.set)
        arguments += [escape(name) for name in changes.delete]
        answers = self._write([scripts.UPDATE.call(self._written(key), *arguments), *self._after_write])
        if answers[0] == b"newer":
            raise UnsupportedRecordVersion(f"session {key} was written by a later version")
        if answers[0] == b"damaged":
            self._damaged(key, "its metadata can't be read")
            return Outcome.ABSENT
        outcome = _UPDATE_OUTCOMES[answers[0]]
        if outcome is Outcome.APPLIED:
            self._acknowledged(answers)
        return outcome

    def delete(self, key: str) -> Record | None:
        waits = 1 if self._after_delete else 0
        answers = self._write([scripts.DELETE.call(self._written(key), waits), *self._after_delete])
        self._acknowledged(answers)
        if answers[0] is None:
            return None
        flat, ttl = answers[0]
        return self._record(key, hash_of(flat), ttl, gone=True)

    def quarantine(self, key: str) -> None:
        names = (self._key(key), f"{self._prefix}damaged:{{{key}}}")
        self._write([scripts.SET_ASIDE.call(names, SET_ASIDE_MS)])

    def ping(self) -> float:
        return _time(self._calls)

    def ping_at_once(self) -> float:
        return _time(self._at_once)

    def keys_of(self, owner: str) -> list[str]:
        return self._index.keys_of(owner)

    def keys(self) -> Iterator[str]:
        """Each key once; remembers all of them until it is through (100 MB for a million)."""
        return scan(self._calls, self._prefix)

    def count(self) -> int:
        """How many there are: goes through all keys of the server, so it is for a person and not for a request."""
        return sum(1 for _ in self.keys())

    def close(self) -> None:
        self._connections.close()

    def _key(self, key: str) -> str:
        return f"{self._prefix}{{{key}}}"

    def _written(self, key: str) -> tuple[str, ...]:
        """The keys of a script that writes this session."""
        name = self._key(key)
        if not self._writes_are_repeatable:
            return (name,)
        return name, f"{self._prefix}once:{secrets.token_hex(8)}{{{key}}}"

    def _write(self, commands: list[Command]) -> list[Any]:
        return self._calls.run(commands, self._writes_are_repeatable)

    def _acknowledged(self, answers: list[Any]) -> None:
        if len(answers) > 1:
            self._acknowledgement.check(answers[1])

    def _record(self, key: str, stored: dict[bytes, bytes], ttl: int, gone: bool = False) -> Record | None:
        if not stored or ttl == _EXPIRED:
            return None
        try:
            return record_of(key, stored, ttl)
        except UnsupportedRecordVersion:
            if not gone:
                raise
        except CorruptRecord as error:
            if not gone:
                self._damaged(key, str(error))
        return None

    def _damaged(self, key: str, why: str) -> None:
        log.error("session %s is corrupt and was quarantined: %s", key, why)
        self.quarantine(key)


def _time(calls: Calls) -> float:
    now: Command = ("TIME",)
    seconds, microseconds = calls.run([now], idempotent=True)[0]
    return int(seconds) + int(microseconds) / 1e6


def _milliseconds(lifetime: Lifetime) -> tuple[int, int]:
    return int(lifetime.idle * 1000), int(lifetime.absolute * 1000)
