"""Sessions in Redis or Valkey: a hash per session, the server's clock, one round trip an operation.

    load       HGETALL key, PTTL key                       in one packet; then HGET of the mark where it is absent
    create     EVALSHA INDEX, where there is an owner      TIME, ZREMRANGEBYSCORE, ZADD, ZRANGE, PEXPIREAT, ZCARD
              EVALSHA CREATE, in the same packet          EXISTS, TIME, HSET, PEXPIREAT
    update     EVALSHA UPDATE                              HGET @, TIME, HGET of each expected field, HSET, HDEL,
                                                          PEXPIREAT; where bytes are bounded MEMORY USAGE, HLEN of a
                                                          large session, HGETALL near its bound; where it is absent
                                                          EXISTS of it and of its mark
    retire     EVALSHA RETIRE                              TYPE, HGETALL where fields are expected, DEL, HSET, PEXPIRE
    delete     DEL                                         EVALSHA DELETE (HSET, DEL) where WAIT follows
    quarantine EVALSHA QUARANTINE                          EXISTS, RENAME, PEXPIRE
    ping       TIME
    keys_of    ZRANGE index, then HGET key @ of each       in packets of 500; where some are dead, EVALSHA PRUNE
                                                          (TIME, ZREM) and ZRANGE once more; where some of them
                                                          are young, or have metadata of another session, HGET
                                                          of those and ZRANGE
    page_of    ZRANGE index REV
    keys       SCAN, as often as it takes; so does count
    used_share INFO memory, of each primary

Each packet ends with PING (`exchange.py`). Once a second ROLE is in the packet of a read, on each connection. Where a
write waits for replicas (`Durability`), WAIT follows it in its packet. Every 64th login of a user with 256 sessions or
more prunes the index: ZRANDMEMBER, HGET and PRUNE, two or three round trips. A script is sent in full (EVALSHA, then
SCRIPT LOAD and EVALSHA in one packet) only to a server that does not know it.

The key is `session:{<sha-256>}`; the braces keep a session, its mark (`session:ended:{<sha-256>}`) and its quarantined
record in one slot of a Redis Cluster.
Needs Redis 6.2 or Valkey, with `maxmemory-policy noeviction`: any other policy logs users out silently when memory is
short. docs/redis.md has the rest.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from ...checks import check_type
from ...codec import Codec, MsgpackCodec
from ...cookie import CookieFormat, SignedCookie
from ...corrupt import read_record
from ...store import (
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
    UnsupportedRecordVersion,
)
from . import scripts
from .client import RedisClient, check_connections, connect, escape_pattern
from .connection import Command, CommandExecutor
from .durability import Acknowledgement, Durability, DurabilityValue
from .from_client import to_url
from .memory_usage import MemoryGauge
from .outage import OutagePolicy, with_outage_policy
from .scripts import escape, flatten, to_dict, to_record
from .user_index import UserIndex

_EXPIRED = -2
"""The reply to PTTL for a key that expired between the two commands of a read."""
_OUTCOMES = {b"ok": Outcome.APPLIED, b"absent": Outcome.ABSENT, b"ended": Outcome.ENDED, b"conflict": Outcome.CONFLICT,
             b"large": Outcome.TOO_LARGE}  # fmt: skip


class RedisStore:
    """Sessions over `connections`, whose replies are bytes; `from_url` makes connections within `budgets`.

    `replicas` is the number of replicas that `durability` waits for. Where `outage` waits or another server can take
    over, each write carries a token that makes it safe to repeat.
    """

    def __init__(
        self,
        connections: CommandExecutor,
        budgets: Budgets | None = None,
        prefix: str = "session:",
        durability: Durability | DurabilityValue = Durability.PRIMARY,
        replicas: int = 0,
        outage: OutagePolicy | None = None,
    ) -> None:
        check_connections(connections)
        check_type("prefix", prefix, str, "a str")
        outage = outage or OutagePolicy()
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self.budgets = budgets or Budgets()
        self._connections = connections
        self._client = RedisClient(with_outage_policy(connections, outage))
        self._writes_are_repeatable = outage.waits or connections.can_fail_over
        self._prefix = prefix
        self._index = UserIndex(self._client, prefix)
        self._gauge = MemoryGauge(connections)
        self._acknowledgement = Acknowledgement(durability, replicas, self.budgets)

    @classmethod
    def from_url(
        cls,
        url: str,
        budgets: Budgets | None = None,
        prefix: str = "session:",
        durability: Durability | DurabilityValue = Durability.PRIMARY,
        replicas: int = 0,
        outage: OutagePolicy | None = None,
    ) -> RedisStore:
        """Make a store that connects when first used.

        `url` is redis://, rediss:// (TLS) or unix://, as redis-py reads it, or names several servers: see
        `address.ServerList`. With TLS the server's certificate and host name are verified; `?ssl_ca_certs=` in the URL
        names a file (PEM) of certificates to trust beside the system's. Raises ValueError.
        """
        budgets = budgets or Budgets()
        return cls(connect(url, budgets, durability), budgets, prefix, durability, replicas, outage)

    @classmethod
    def from_client(
        cls,
        client: redis.Redis | redis.RedisCluster,
        budgets: Budgets | None = None,
        prefix: str = "session:",
        durability: Durability | DurabilityValue = Durability.PRIMARY,
        replicas: int = 0,
        outage: OutagePolicy | None = None,
    ) -> RedisStore:
        """Make a store with connections of its own to the servers of a client of redis-py: see `from_client.py`.

        The client itself is not used. Raises TypeError for other clients, and ValueError for a client with settings
        that can't be taken over.
        """
        return cls.from_url(to_url(client), budgets, prefix, durability, replicas, outage)

    def load(self, key: str) -> Record | SessionMark | None:
        return read_record(self, key, lambda: self._read(key))

    def _read(self, key: str) -> Record | SessionMark | None:
        """Read once. Raises `CorruptRecord`."""
        name = self._name(key)
        try:
            stored, ttl = self._client.run((("HGETALL", name), ("PTTL", name)), idempotent=True)
        except StoreUnavailable as error:
            if not str(error.__cause__).startswith("WRONGTYPE"):
                raise
            command: Command = ("TYPE", name)  # a faulty server may say so of any session
            if (kind := self._client.run([command], idempotent=True)[0]) == b"hash":
                raise
            raise CorruptRecord("it is not a hash", kind) from error
        return self._to_record(key, to_dict(stored), ttl) or self._load_mark(key)

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        # Rounded down: rounded up, the session would outlive its deadline. Floats may be a little too small.
        created_ms = "" if created is None else int(created * 1000 + 0.001)
        arguments = (*_to_milliseconds(lifetime), owner or "", created_ms, *flatten(fields))
        commands = [scripts.CREATE.call(self._names_for_write(key), *arguments), *self._acknowledgement.after_write]
        if owner is None:
            replies = self._write(commands)
        else:
            members, *replies = self._write([self._index.insert_command(owner, key, lifetime, created_ms), *commands])
        if replies[0] is None:
            return None
        self._acknowledgement.check(replies)
        if owner is not None:
            self._index.prune_sample(owner, members)
        return int(replies[0]) / 1000

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        # Counts first, then the fields: Lua's unpack takes each part as one slice.
        arguments: list[Any] = [*_to_milliseconds(lifetime), changes.max_bytes or 0]
        arguments += (len(changes.expect), 2 * len(changes.set))
        for name, expected in changes.expect.items():
            arguments += (escape(name), 0 if expected is None else 1, expected or b"")
        arguments += flatten(changes.set)
        arguments += [escape(name) for name in changes.delete]
        command = scripts.UPDATE.call(self._names_for_write(key, with_mark=True), *arguments)
        replies = self._write([command, *self._acknowledgement.after_write])
        if replies[0] == b"newer":
            raise UnsupportedRecordVersion(f"session {key} was written by a later version")
        if replies[0] == b"damaged":
            found = self.load(key)  # which quarantines it
            if isinstance(found, Record):
                raise StoreUnavailable("Redis: a record can't be read each time")
            return Outcome.ABSENT if found is None else Outcome.ENDED
        outcome = _OUTCOMES[replies[0]]
        if outcome is Outcome.APPLIED:
            self._acknowledgement.check(replies)
        return outcome

    def delete(self, key: str) -> None:
        delete: Command = ("DEL", self._name(key))
        if wait := self._acknowledgement.after_delete:
            delete = scripts.DELETE.call((self._name(key),))
        self._acknowledgement.check(self._write([delete, *wait]))

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        arguments: list[Any] = [mark.successor, MARK_SECONDS * 1000, 0 if expect is None else 1]
        if expect is not None:
            arguments += flatten(expect.fields)
        command = scripts.RETIRE.call(self._names_for_write(key, with_mark=True), *arguments)
        replies = self._write([command, *self._acknowledgement.after_delete])
        outcome = _OUTCOMES[replies[0]]
        if outcome is not Outcome.CONFLICT:
            self._acknowledgement.check(replies)
        return outcome

    def quarantine(self, key: str) -> None:
        names = (self._name(key), f"{self._prefix}damaged:{{{key}}}")
        self._write([scripts.QUARANTINE.call(names, QUARANTINE_SECONDS * 1000)])

    def ping(self) -> float:
        return self._client.time()

    def ping_at_once(self) -> float:
        return RedisClient(self._connections).time()

    def keys_of(self, owner: str) -> list[str]:
        return self._index.keys_of(owner)

    def page_of(self, owner: str, first: int, count: int) -> list[str]:
        return self._index.page_of(owner, first, count)

    def keys(self) -> Iterator[str]:
        """Yield each key once. Remembers all keys until the end (100 MB for a million)."""
        start = f"{self._prefix}{{"
        session = re.compile(re.escape(start).encode() + rb"([0-9a-f]{64})\}")
        seen: set[str] = set()
        for name in self._client.scan(escape_pattern(start) + "[0-9a-f]*}"):
            match = session.fullmatch(name)
            if match and (key := match[1].decode()) not in seen:
                seen.add(key)
                yield key

    def count(self) -> int:
        """Return the number of live sessions. Goes through all keys of the server: for people, not for requests."""
        return sum(1 for _ in self.keys())

    def used_share(self) -> float | None:
        return self._gauge.used_share()

    def reconnect(self) -> None:
        self._client.reconnect()

    def close(self) -> None:
        self._connections.close()

    def _name(self, key: str) -> str:
        return f"{self._prefix}{{{key}}}"

    def _mark_name(self, key: str) -> str:
        return f"{self._prefix}ended:{{{key}}}"

    def _names_for_write(self, key: str, with_mark: bool = False) -> tuple[str, ...]:
        """Return the keys of a script that writes a session: the session, perhaps its mark, and a new token where
        writes have one."""
        names = (self._name(key), self._mark_name(key)) if with_mark else (self._name(key),)
        if not self._writes_are_repeatable:
            return names
        return *names, f"{self._prefix}once:{secrets.token_hex(8)}{{{key}}}"

    def _load_mark(self, key: str) -> SessionMark | None:
        command: Command = ("HGET", self._mark_name(key), "successor")
        successor = self._client.run([command], idempotent=True)[0]
        return None if successor is None else SessionMark(successor)

    def _write(self, commands: list[Command]) -> list[Any]:
        return self._client.run(commands, self._writes_are_repeatable)

    def _to_record(self, key: str, stored: dict[bytes, bytes], ttl: int) -> Record | None:
        return None if not stored or ttl == _EXPIRED else to_record(key, stored, ttl)


def _to_milliseconds(lifetime: Lifetime) -> tuple[int, int]:
    return int(lifetime.idle * 1000), int(lifetime.absolute * 1000)
