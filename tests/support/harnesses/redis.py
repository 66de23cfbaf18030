from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from nodes.sessions import Budgets, OutagePolicy, RedisStore, Store
from tests.support.harness import Through
from tests.support.records import PATIENT

HASTY = Budgets(0.05, 0.05, retries=0, deadline=0.1)


class Servers(Protocol):
    """One server, or several servers of one store."""

    @property
    def url(self) -> str: ...

    def client(self) -> Any: ...

    def paused(self) -> contextlib.AbstractContextManager[None]: ...


class ServerHarness:
    """A real server. Its clock can't be turned, so `advance` makes its records older."""

    def __init__(self, server: Servers, store: Store, hasty: Store) -> None:
        """`store` is patient with a busy machine; `hasty` is used only while the server is known to be silent."""
        self._server = server
        self._through, self._hasty = Through(store), hasty
        self.store: Store = self._through
        self._client: Any = server.client()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with self._server.paused(), self._through.through(self._hasty):
            yield
        self._client.ping()

    def clear(self) -> None:
        self._client.flushdb()


class RedisHarness(ServerHarness):
    def __init__(self, server: Servers, outage: OutagePolicy | None = None) -> None:
        store = RedisStore.from_url(server.url, PATIENT, outage=outage)
        super().__init__(server, store, RedisStore.from_url(server.url, HASTY))

    def _names(self, pattern: str) -> set[bytes]:
        """Return the matching keys of all servers; KEYS asks only one server of a cluster."""
        return set(self._client.scan_iter(pattern, count=10_000))

    def _raw(self, key: str) -> str:
        return f"session:{{{key}}}"

    def advance(self, seconds: float) -> None:
        moved = int(seconds * 1000)
        for raw in self._names("session:{*"):
            created, final, owner = self._client.hget(raw, "@").split(b":", 3)[1:]
            self._client.hset(raw, "@", b":".join([b"1", str(int(created) - moved).encode(), final, owner]))
            self._client.pexpireat(raw, self._client.pexpiretime(raw) - moved)
        for mark in self._names("session:ended:{*"):
            self._client.pexpireat(mark, self._client.pexpiretime(mark) - moved)
        for index in self._names("session:of:{*"):
            for member, score in self._client.zrange(index, 0, -1, withscores=True):
                written = int.from_bytes(member[32:], "big") - int(seconds)
                self._client.zrem(index, member)
                self._client.zadd(index, {member[:32] + written.to_bytes(4, "big"): score - moved * 1000})
            self._client.pexpireat(index, int(self._client.zrange(index, -1, -1, withscores=True)[0][1] / 1000))

    def damage(self, key: str) -> None:
        self._client.hset(self._raw(key), "broken", b"\xc1")

    def set_format(self, key: str, number: int) -> None:
        """Make the record one that another version wrote."""
        _, _, metadata = self._client.hget(self._raw(key), "@").partition(b":")
        self._client.hset(self._raw(key), "@", b"%d:%s" % (number, metadata))

    def keys(self) -> set[str]:
        return {raw.decode()[9:-1] for raw in self._names("session:{*")}
