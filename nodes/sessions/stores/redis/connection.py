"""Connections to one Redis server: redis-py's connections, parser and pool, without its client.

redis-py's own pool costs 7 us for each use (24 us under gevent) and its pipeline as much again, in a round trip of
about 30 us. So a connection that the pool has made stays checked out, and is passed from request to request here.

A connection is used again only when every reply on it was read, and was a reply to these commands (`exchange.py`). One
that failed, timed out or was interrupted by any exception is closed, so no reply can reach the wrong request
(CVE-2023-28858).

A write may be sent again only where it was certainly not applied: the connection was refused or could not be made, or
the server itself refused the command. A timeout and a connection that was lost after sending prove nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

import redis

from ...store import Budgets, StoreUnavailable
from ..forks import reset_in_children
from .exchange import exchange


class NotApplied(StoreUnavailable):
    """No server has applied any of the commands."""


def is_permanent(error: StoreUnavailable) -> bool:
    """Return whether the credentials are wrong, so that waiting does not help."""
    return isinstance(error.__cause__, redis.AuthenticationError)


Command: TypeAlias = tuple[str | bytes | int, ...]
Connection: TypeAlias = Any
"""A connection of redis-py."""


class CommandExecutor(Protocol):
    """Executes commands on one server, or on several servers of which each has a part of the keys.

    The keys of a command are in one slot. The commands of a call may be in different slots.
    """

    can_fail_over: bool
    """Whether another server may take over, so that commands without a reply are worth sending again."""

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """Return the replies, an error of the server as a `ResponseError`. Raises `StoreUnavailable` for no reply."""
        ...

    def partitions(self) -> Sequence[CommandExecutor]:
        """Return an executor for each part of the keys, for commands without a key such as SCAN."""
        ...

    def close_idle(self) -> None:
        """Close the connections that no request uses: the next one makes a new connection."""
        ...

    def close(self) -> None: ...


ROLE: Command = ("ROLE",)
ROLE_INTERVAL = 1.0
"""Seconds after which a read checks again that the server is still a primary."""


class ServerConnections:
    """The connections of one process to one server: at most `budgets.max_connections`, made when first needed.

    A replica refuses writes, but a primary that was demoted would go on answering reads with old data. So with
    `check_role` each connection sends ROLE in the packet of a read once a second, and the replies of a replica are
    discarded. Safe for threads and greenlets. A child process makes its own connections.
    """

    can_fail_over = False

    def __init__(self, pool: redis.ConnectionPool, budgets: Budgets, check_role: bool = True) -> None:
        self.pool = pool
        self._check_role = check_role
        self._budgets = budgets
        self._is_retired = False
        reset_in_children(self)

    def _reset(self) -> None:
        self._free: deque[Connection] = deque()
        self._made = 0
        self._waiting = 0
        # On an RLock. A plain Lock can't tell its owner: under gevent, a greenlet that is interrupted as it takes the
        # lock again after waiting would release it for another one.
        self._changed = threading.Condition()

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """Send `commands` in one packet and return the replies, an error of the server as a `ResponseError`.

        Idempotent commands are sent again after a failure, `budgets.retries` times; others are sent at most once.
        Raises `StoreUnavailable` without a reply, and `NotApplied` where nothing was sent.
        """
        budgets = self._budgets
        attempts = budgets.retries if idempotent else 0
        now = time.monotonic()
        until = now + budgets.deadline
        while True:
            try:
                return self._attempt(commands, idempotent, now, until)
            except StoreUnavailable as error:
                if attempts <= 0 or is_permanent(error) or time.monotonic() >= until:
                    raise
                attempts -= 1
                now = time.monotonic()

    def partitions(self) -> Sequence[ServerConnections]:
        return (self,)

    def _attempt(self, commands: Sequence[Command], idempotent: bool, now: float, until: float) -> list[Any]:
        # The server may have closed an idle connection (a restart, its idle timeout), or sent something unexpected
        # on it, which must not count as a failure. A write looks before it sends anything; a read is simply sent again.
        if not idempotent:
            return self._exchange(self._take_fresh(), commands)
        connection, used = self._take()
        try:
            return self._read(connection, commands, now)
        except StoreUnavailable as error:
            was_lost = isinstance(error.__cause__, (redis.ConnectionError, ConnectionError))
            if not used or not was_lost or time.monotonic() >= until:
                raise
        return self._read(self._take_fresh(), commands, now)

    def _read(self, connection: Connection, commands: Sequence[Command], now: float) -> list[Any]:
        if not self._check_role or now < connection.check_role_at:
            return self._exchange(connection, commands)
        connection.check_role_at = now + ROLE_INTERVAL
        *replies, role = self._exchange(connection, (*commands, ROLE))  # an error where the user may not send ROLE
        if not isinstance(role, redis.ResponseError) and role[0] != b"master":
            self.close_idle()  # new connections find the new primary
            demoted = redis.ConnectionError("this server is a replica now, and its data may be old")
            raise StoreUnavailable(f"Redis: {demoted}") from demoted
        return replies

    def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Any]:
        try:
            replies = exchange(connection, commands)
        except (redis.RedisError, OSError) as error:
            self._discard(connection)
            raise StoreUnavailable(f"Redis: {error}") from error
        except BaseException:  # also an exit or a timeout of gevent: the reply is still to come
            self._discard(connection)
            raise
        for reply in replies:
            if isinstance(reply, redis.ReadOnlyError):
                self._discard(connection)  # no longer a primary: new connections find the new one
                return replies
        self._give_back(connection)
        return replies

    def _take(self) -> tuple[Connection, bool]:
        """Return a connection, and whether it was used before."""
        try:
            return self._free.pop(), True
        except IndexError:
            return self._wait_or_make()

    def _wait_or_make(self) -> tuple[Connection, bool]:
        until = time.monotonic() + self._budgets.connect_timeout
        with self._changed:
            self._waiting += 1  # before looking at the idle ones, since `_give_back` reads it after adding one
            try:
                while True:
                    try:
                        return self._free.pop(), True
                    except IndexError:
                        pass
                    if self._made < self._budgets.max_connections:
                        break
                    if (left := until - time.monotonic()) <= 0:
                        raise NotApplied(f"Redis: all {self._made} connections are in use (max_connections)")
                    self._changed.wait(left)
            finally:
                self._waiting -= 1
            self._made += 1
        return self._make(), False

    def _make(self) -> Connection:
        """Return a new connection, which is counted already."""
        try:
            connection: Connection = self.pool.get_connection()
        except (redis.RedisError, OSError) as error:
            self._count_down()
            raise NotApplied(f"Redis: {error}") from error
        except Exception as error:  # redis-py's handshake trusts the form of its replies
            self._count_down()
            raise NotApplied(f"Redis: replies that can't be read: {type(error).__name__}") from error
        except BaseException:
            self._count_down()
            raise
        connection.check_role_at = 0.0
        return connection

    def _take_fresh(self) -> Connection:
        """Return a connection that is new or not stale. Where one is stale, the other idle ones are likely to be."""
        while True:
            connection, used = self._take()
            try:
                if not used or not connection._parser.is_stale():
                    return connection
            except BaseException:  # with TLS the look may be interrupted, as an exchange may
                self._discard(connection)
                raise
            self._discard(connection)

    def _give_back(self, connection: Connection) -> None:
        if self._is_retired:
            self._discard(connection)
            return
        self._free.append(connection)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def _discard(self, connection: Connection) -> None:
        connection.disconnect()
        self.pool.release(connection)
        self._count_down()

    def _count_down(self) -> None:
        with self._changed:
            self._made -= 1
            self._changed.notify()

    def retire(self) -> None:
        """Close idle connections now, and the others when they are given back."""
        self._is_retired = True
        self.close_idle()

    def close_idle(self) -> None:
        with suppress(IndexError):  # other threads may take them
            while True:
                self._discard(self._free.pop())

    def close(self) -> None:
        self.retire()
        self.pool.disconnect()
