"""Reads that ask nobody: the server says which sessions change, the others are answered from memory. Off by default.

One connection of the process is told the name of every session that changes (CLIENT TRACKING with BCAST, RESP3), in the
order in which it happened. Each read first takes in what has arrived there, without waiting. So what is answered from
memory is as old as the server's message takes to arrive, in the normal case. In the worst one, a connection that is
silently dead, it is `MAX_LAG` old: a ROLE travels the same way, behind the messages, and while the last one that was
answered is older than that, nothing is answered from memory. Nor is it where the answer is that this is no primary any
more: then others change the sessions, of which it may hear late or never.

redis-py's own cache was tried and does not fit: it refuses Valkey; it knows no pipelines, so a read would be two round
trips; it keeps a hash for 100 ms after its expiry, until the server says so; and a message costs it 12 ms where it
holds 10 000 entries, since it goes through all of them. docs/redis.md has the figures.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from typing import Any

import redis

from ..store import Record
from .redis_connection import ROLE, Connection, is_primary, is_stale

log = logging.getLogger("nodes.sessions")

LOOK_EVERY = 0.25
"""Seconds."""
MAX_LAG = 1.0
"""Seconds by which an answer from memory may be behind at most."""
_TRY_AGAIN = 1.0
"""Seconds after which a listener that could not connect does so again."""


class _Awaited:
    """Stands where the answer to a read will be, unless a message about it comes first."""


class ReadCache:
    """The sessions below `prefix` that were read last, `size` at most. Connects by `pool` when first used."""

    def __init__(self, pool: redis.ConnectionPool, prefix: str, size: int) -> None:
        if pool.connection_kwargs.get("protocol") == 2:
            raise ValueError("a cache needs RESP3, in which the server can speak first: the URL asks for protocol=2")
        self._pool = pool
        self._prefix = f"{prefix}{{"
        self._size = size
        self._warned = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._connection: Connection | None = None
        self._try_at = 0.0
        self._looked = self._confirmed = 0.0
        self._entries: OrderedDict[str, tuple[Record, float] | _Awaited] = OrderedDict()

    def get(self, name: str) -> Record | None:
        """The session under this name of the server's, if it is known to be current."""
        if self._pid != os.getpid():
            self._begin()
        if self._connection is None:
            self._connect()
        now = time.monotonic()
        with self._lock:
            self._listen(now)
            entry = self._entries.get(name)
            if not isinstance(entry, tuple) or now - self._confirmed > MAX_LAG:
                return None
            record, expires = entry
            if expires <= now:  # the server's message about that comes when the server notices
                del self._entries[name]
                return None
            self._entries.move_to_end(name)
        return Record(dict(record.fields), record.owner, record.created, expires - now, record.final)

    def expect(self, name: str) -> object | None:
        """Before a read: what `keep` wants. None: the answer can't be kept."""
        with self._lock:
            if self._connection is None:
                return None
            while len(self._entries) >= self._size:
                self._entries.popitem(last=False)
            self._entries[name] = awaited = _Awaited()
            return awaited

    def keep(self, name: str, awaited: object | None, record: Record | None, asked: float) -> None:
        """After it: remembers `record`, which was asked for at `asked` (monotonic), if nothing was heard meanwhile."""
        with self._lock:
            if awaited is None or self._entries.get(name) is not awaited:
                return
            if record is None:
                del self._entries[name]
            else:
                self._entries[name] = record, asked + record.ttl

    def forget(self, name: str) -> None:
        """After a write of this process, so that its next read sees it at once."""
        with self._lock:
            self._entries.pop(name, None)

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _connect(self) -> None:
        """Begins to listen. One at a time, and the others read without a cache meanwhile."""
        now = time.monotonic()
        if now < self._try_at or not self._connecting.acquire(blocking=False):
            return
        try:
            self._try_at = now + _TRY_AGAIN
            connection: Connection = None
            try:
                connection = self._pool.get_connection()
                connection._get_parser().set_invalidation_push_handler(self._heard)
                connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
                connection.read_response()
                connection.send_command(*ROLE)
                if not is_primary(connection.read_response()):
                    raise redis.ReadOnlyError("the server is a replica")
            except (redis.RedisError, OSError) as error:
                self._give_up(connection)
                if not self._warned:
                    log.warning("sessions are read without the cache: %s", error)
                self._warned = True
                return
            with self._lock:
                self._connection, self._warned = connection, False
                self._confirmed, self._looked = now, 0.0
        finally:
            self._connecting.release()

    def _listen(self, now: float) -> None:
        """Takes in what has arrived, and asks from time to time whether anything still does."""
        connection = self._connection
        if connection is None:
            return
        try:
            if is_stale(connection):  # closed, or something to read
                while connection.can_read(0):
                    answer = connection.read_response(push_request=True, timeout=0, disconnect_on_error=False)
                    if isinstance(answer, list) and answer[:1] == [b"master"]:
                        self._confirmed, self._looked = self._looked, 0.0
                    elif isinstance(answer, list) and answer[:1] == [b"slave"]:
                        raise redis.ReadOnlyError("the server is a replica now")
            if not self._looked and now - self._confirmed > LOOK_EVERY:
                self._looked = now
                connection.send_command(*ROLE, check_health=False)
        except redis.TimeoutError:
            return  # half a message
        except (redis.RedisError, OSError):
            self._disconnect()

    def _heard(self, message: list[Any]) -> None:
        names = message[1]
        if names is None:  # the whole database was emptied
            self._entries.clear()
            return
        for name in names:
            self._entries.pop(name.decode(), None)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._entries.clear()
        self._give_up(connection)

    def _give_up(self, connection: Connection | None) -> None:
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)
