"""Which failures prove that nothing was applied, so that even a write may be sent again.

A connection that was refused or could not be made, and a server's own refusal: both prove it. A timeout and a
connection that was lost after sending prove nothing.


----

Asking a Redis server: redis-py's connections, parser and pool, without what its client adds to every command.

redis-py's own pool costs 7 us for each use (24 us under gevent) and its pipeline as much again, of a round trip of
about 30 us. So a connection that the pool has made stays checked out, and is handed from request to request here.

What may be reused is decided strictly: only a connection whose every answer was read. One that failed, timed out or was
interrupted by any exception is closed and never seen again, so no answer can reach the wrong request (CVE-2023-28858).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import hiredis
import redis

from ...store import Budgets, StoreUnavailable

_CODES = ("READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")
_KINDS = (redis.ReadOnlyError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError)


class NotApplied(StoreUnavailable):
    """No server has done any of it."""


def is_refusal(answer: object) -> bool:
    """Whether a server says that it does this not now, and another one, or the same a little later, may do it."""
    if not isinstance(answer, redis.ResponseError):
        return False
    return isinstance(answer, _KINDS) or str(answer).startswith(_CODES)


def is_lasting(error: StoreUnavailable) -> bool:
    """Whether waiting helps nothing: who asks is not let in."""
    return isinstance(error.__cause__, redis.AuthenticationError)


_generation = 0
"""How often this process has come out of a fork."""


def _forked() -> None:
    global _generation
    _generation += 1


def generation() -> int:
    """Differs in a child process from what it was in its parent."""
    return _generation


os.register_at_fork(after_in_child=_forked)

Command: TypeAlias = tuple[str | bytes | int, ...]
Connection: TypeAlias = Any
"""A connection of redis-py's."""


class Asks(Protocol):
    """What answers commands: `Connections`, or something that knows several servers and sends each to the right one.

    A command's keys are all in one slot, and commands of one call may be in different ones.
    """

    can_fail_over: bool
    """Whether another server may take over, so that who was not answered should ask again."""

    def ask(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]: ...

    def everywhere(self) -> Sequence[Asks]:
        """What to ask for something that no key leads to: each has keys that no other has."""
        ...

    def close(self) -> None: ...


ROLE: Command = ("ROLE",)
LOOK_EVERY = 1.0
"""Seconds after which a read on the same connection asks again whether this still is a primary."""


def is_primary(role: Any) -> bool:
    """What an answer to ROLE says. A user who may not ask can't be told: then it is one."""
    return isinstance(role, redis.ResponseError) or role[0] == b"master"


class Connections:
    """The connections of one process to one server: at most `budgets.max_connections`, made when first needed.

    A replica refuses a write by itself, but not a read: a primary that was demoted would go on answering with what it
    knew. So once a second ROLE travels in the packet of a read, on each connection, and what a replica answers counts
    for nothing; without `looks` it does not, for who finds out in another way whom to ask. Safe for threads and
    greenlets; after a fork the child makes its own.
    """

    can_fail_over = False

    def __init__(self, pool: redis.ConnectionPool, budgets: Budgets, looks: bool = True) -> None:
        self.pool = pool
        self._looks = looks
        self._budgets = budgets
        self._is_retired = False
        self._begin()

    def _begin(self) -> None:
        self._generation = _generation
        self._free: deque[Connection] = deque()
        self._made = 0
        self._waiting = 0
        self._changed = threading.Condition(threading.Lock())

    def ask(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """Sends `commands` in one packet and returns their answers, an error of the server's as a `ResponseError`.

        What is idempotent is sent again after a failure, `budgets.retries` times; anything else is sent once at most.
        Raises `StoreUnavailable` where there is no answer, and `NotApplied` where nothing was sent.
        """
        budgets = self._budgets
        attempts = budgets.retries if idempotent else 0
        until = time.monotonic() + budgets.deadline if attempts else 0.0
        while True:
            try:
                return self._attempt(commands, idempotent)
            except StoreUnavailable as error:
                if attempts <= 0 or is_lasting(error) or time.monotonic() >= until:
                    raise
                attempts -= 1

    def everywhere(self) -> Sequence[Connections]:
        return (self,)

    def _attempt(self, commands: Sequence[Command], idempotent: bool) -> list[Any]:
        connection, used = self._take()
        if used:
            # The server may have closed it since (a restart, its idle timeout), which must not count as a failure.
            # A write finds out before it sends anything; a read just asks again.
            if idempotent:
                try:
                    return self._read(connection, commands)
                except StoreUnavailable as error:
                    if not isinstance(error.__cause__, (redis.ConnectionError, ConnectionError)):
                        raise
                    connection = self._anew()
            elif is_stale(connection):
                self._discard(connection)
                connection = self._anew()
        return self._read(connection, commands) if idempotent else self._exchange(connection, commands)

    def _read(self, connection: Connection, commands: Sequence[Command]) -> list[Any]:
        now = time.monotonic()
        if not self._looks or now < connection.look_at:
            return self._exchange(connection, commands)
        connection.look_at = now + LOOK_EVERY
        *answers, role = self._exchange(connection, (*commands, ROLE))
        if not is_primary(role):
            self._forget_idle()  # whoever is the primary now, is found by connecting anew
            demoted = redis.ConnectionError("this server is a replica now, whose answer may be an old one")
            raise StoreUnavailable(f"Redis: {demoted}") from demoted
        return answers

    def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Any]:
        try:
            # hiredis itself packs in a sixth of the time that the connection's own method takes.
            packed = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
            _send(connection, packed)
            answers = [_answer(connection) for _ in commands]
        except (redis.RedisError, OSError) as error:
            self._discard(connection)
            raise StoreUnavailable(f"Redis: {error}") from error
        except BaseException:  # an exit or a timeout of gevent's as well: its answer is still to come
            self._discard(connection)
            raise
        if any(isinstance(answer, redis.ReadOnlyError) for answer in answers):
            self._discard(connection)  # a primary no more: whoever is now, is found by connecting anew
        else:
            self._give_back(connection)
        return answers

    def _take(self) -> tuple[Connection, bool]:
        """A connection, and whether it was used before."""
        if self._generation != _generation:
            self._begin()
        try:
            return self._free.pop(), True
        except IndexError:
            return self._wait_or_make()

    def _wait_or_make(self) -> tuple[Connection, bool]:
        until = time.monotonic() + self._budgets.connect_timeout
        with self._changed:
            self._waiting += 1  # before the look at what is free: who gives back looks at it afterwards
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
        """A new connection, which is counted already."""
        try:
            connection: Connection = self.pool.get_connection()
        except (redis.RedisError, OSError) as error:
            self._count_down()
            raise NotApplied(f"Redis: {error}") from error
        except BaseException:
            self._count_down()
            raise
        connection.look_at = 0.0
        return connection

    def _anew(self) -> Connection:
        """In place of one that was stale. Those that were waiting beside it are likely to be so, too."""
        while True:
            connection, used = self._take()
            if not used or not is_stale(connection):
                return connection
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
        """Closes what is idle now, and what is in use when it has been used."""
        self._is_retired = True
        self._forget_idle()

    def _forget_idle(self) -> None:
        while self._free:
            self._discard(self._free.pop())

    def close(self) -> None:
        self.retire()
        self.pool.disconnect()


def _send(connection: Connection, packed: bytes) -> None:
    """In one system call where it fits into the socket's buffer; gevent's `sendall` makes two. OSError."""
    sock = connection._get_socket()
    if sock is None:
        raise redis.ConnectionError("the connection is closed")
    sent = sock.send(packed)
    if sent < len(packed):
        sock.sendall(memoryview(packed)[sent:])


def _answer(connection: Connection) -> Any:
    try:
        return connection.read_response(disconnect_on_error=False)
    except redis.ResponseError as error:
        return error
    except redis.exceptions.BusyLoadingError as error:  # an answer, which redis-py takes for a lost connection
        return redis.ResponseError(f"LOADING {error}")


def is_stale(connection: Connection) -> bool:
    """Whether the server has closed this idle connection, or sent what nobody asked for.

    A look into the socket's buffer. redis-py's own `can_read` polls, which under gevent costs 15 us and not 3.
    """
    sock = connection._get_socket()
    if sock is None:
        return True
    timeout = sock.gettimeout()
    try:
        sock.settimeout(0)
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        sock.settimeout(timeout)
        return False
    except ValueError:  # TLS can't peek
        sock.settimeout(timeout)
        return _is_closed(connection)
    except OSError:
        return True
    return True


def _is_closed(connection: Connection) -> bool:
    try:
        connection.can_read(0)
    except (redis.RedisError, OSError):
        return True
    return False
