"""Sessions in Redis or Valkey: a hash per session, a server-side clock, one round trip an operation.

    load      HGETALL key, PTTL key                       in one pipeline
    create    EVALSHA CREATE                              EXISTS, TIME, HSET, PEXPIREAT
    update    EVALSHA UPDATE                              HGET @, HMGET / HGETALL, TIME, HSET, HDEL, PEXPIREAT
    delete    EVALSHA DELETE                              HGETALL, PTTL, DEL
    set_aside RENAME, PEXPIRE                             in one transaction
    ping      TIME

A script is sent in full (EVALSHA, SCRIPT LOAD, EVALSHA) only to a server that has not seen it yet. The key is
`session:{<sha-256>}`; the braces keep a session and what was set aside of it in one slot of a Redis Cluster. The hash
holds each field under its name, and under `@` the metadata `1:<created, ms>:<f where final>:<owner>`; a session's own
field that begins with `@` gets a second one. Needs Redis 6.2 or Valkey. Give it a server with `maxmemory-policy
noeviction`: any other logs people out silently when memory is short.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..budgets import Budgets
from ..codec import Codec, MsgpackCodec
from ..cookie import CookieFormat, SignedCookie
from ..store import Changes, Lifetime, Outcome, Record, RecordTooNew, StoreUnavailable
from . import redis_scripts as scripts

log = logging.getLogger("nodes.sessions")

T = TypeVar("T")
_EXPIRED = -2
"""PTTL's answer for a key that is gone: it expired between the two commands of a read."""
SET_ASIDE_MS = 24 * 60 * 60 * 1000
_UPDATE_OUTCOMES = {b"ok": Outcome.APPLIED, b"absent": Outcome.ABSENT, b"conflict": Outcome.CONFLICT,
                    b"large": Outcome.TOO_LARGE}  # fmt: skip


class RedisStore:
    """Over a client that the caller made and that answers in bytes; `from_url` makes one within `budgets`."""

    def __init__(self, client: redis.Redis, budgets: Budgets | None = None, prefix: str = "session:") -> None:
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self.budgets = budgets or Budgets()
        self._client = client
        self._prefix = prefix
        self._create = client.register_script(scripts.CREATE)
        self._update = client.register_script(scripts.UPDATE)
        self._delete = client.register_script(scripts.DELETE)

    @classmethod
    def from_url(cls, url: str, budgets: Budgets | None = None, prefix: str = "session:") -> RedisStore:
        """`url` is redis://, rediss:// (TLS) or unix://, as redis-py reads it. Connects when first used."""
        budgets = budgets or Budgets()
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=budgets.max_connections,
            timeout=budgets.connect_timeout,
            socket_connect_timeout=budgets.connect_timeout,
            socket_timeout=budgets.read_timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        return cls(redis.Redis(connection_pool=pool), budgets, prefix)

    def load(self, key: str) -> Record | None:
        try:
            hash_, ttl = self._idempotent(lambda: self._read(self._key(key)))
        except StoreUnavailable as error:
            if "WRONGTYPE" not in str(error):
                raise
            self._damaged(key, "it is not a hash")
            return None
        return self._record(key, hash_, ttl)

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        arguments = [*_milliseconds(lifetime), owner or "", "" if created is None else round(created * 1000)]
        for name, value in fields.items():
            arguments += [_escape(name), value]
        answer = self._once(lambda: self._create([self._key(key)], arguments))
        return int(answer) / 1000 if answer is not None else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        # Counts first, then the fields: Lua's unpack takes each part as one slice.
        arguments: list[Any] = [*_milliseconds(lifetime), changes.max_bytes or 0]
        arguments += [len(changes.expect), 2 * len(changes.set)]
        for name, expected in changes.expect.items():
            arguments += [_escape(name), 0 if expected is None else 1, expected or b""]
        for name, value in changes.set.items():
            arguments += [_escape(name), value]
        arguments += [_escape(name) for name in changes.delete]
        answer = self._once(lambda: self._update([self._key(key)], arguments))
        if answer == b"newer":
            raise RecordTooNew(f"session {key} was written by a later version")
        if answer == b"damaged":
            self._damaged(key, "its metadata can't be read")
            return Outcome.ABSENT
        return _UPDATE_OUTCOMES[answer]

    def delete(self, key: str) -> Record | None:
        answer = self._once(lambda: self._delete([self._key(key)]))
        if answer is None:
            return None
        flat, ttl = answer
        return self._record(key, dict(zip(flat[::2], flat[1::2], strict=True)), ttl, gone=True)

    def set_aside(self, key: str) -> None:
        source, target = self._key(key), f"{self._prefix}damaged:{{{key}}}"

        def move() -> None:
            with self._client.pipeline(transaction=True) as pipeline:
                pipeline.rename(source, target)
                pipeline.pexpire(target, SET_ASIDE_MS)
                pipeline.execute()

        try:
            self._once(move)
        except StoreUnavailable as error:
            if "no such key" not in str(error):  # expired, or set aside by another request
                raise

    def ping(self) -> float:
        seconds, microseconds = self._idempotent(self._client.time)
        return seconds + microseconds / 1e6

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()

    def _key(self, key: str) -> str:
        return f"{self._prefix}{{{key}}}"

    def _read(self, key: str) -> tuple[dict[bytes, bytes], int]:
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(key)
            pipeline.pttl(key)
            hash_, ttl = pipeline.execute()
            return hash_, ttl

    def _record(self, key: str, hash_: dict[bytes, bytes], ttl: int, gone: bool = False) -> Record | None:
        if not hash_ or ttl == _EXPIRED:
            return None
        version, _, rest = hash_.get(b"@", b"").partition(b":")
        if version.isdigit() and int(version) > scripts.FORMAT:
            if gone:
                return None
            raise RecordTooNew(f"session {key} is of format {int(version)}; this version reads {scripts.FORMAT}")
        try:
            created, final, owner = rest.split(b":", 2)
            if int(version) != scripts.FORMAT or ttl < 0:
                raise ValueError("unknown format, or without an expiry")  # noqa: TRY301 - as int() and split() do
            fields = {_unescape(name.decode()): value for name, value in hash_.items() if name != b"@"}
            return Record(fields, owner.decode() or None, int(created) / 1000, ttl / 1000, final == b"f")
        except ValueError as error:
            if not gone:
                self._damaged(key, f"its metadata can't be read: {error}")
            return None

    def _damaged(self, key: str, why: str) -> None:
        log.error("session %s is damaged and was set aside: %s", key, why)
        self.set_aside(key)

    def _once(self, call: Callable[[], T]) -> T:
        """Every way in which Redis can fail to answer is one error; its own is the cause."""
        try:
            return call()
        except (redis.RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {error}") from error

    def _idempotent(self, call: Callable[[], T]) -> T:
        until = time.monotonic() + self.budgets.deadline
        for _ in range(self.budgets.retries):
            try:
                return self._once(call)
            except StoreUnavailable as error:
                if isinstance(error.__cause__, redis.ResponseError) or time.monotonic() >= until:
                    raise
        return self._once(call)


def _milliseconds(lifetime: Lifetime) -> list[Any]:
    return [int(lifetime.idle * 1000), int(lifetime.absolute * 1000)]


def _escape(name: str) -> str:
    return f"@{name}" if name.startswith("@") else name


def _unescape(name: str) -> str:
    return name[1:] if name.startswith("@@") else name
