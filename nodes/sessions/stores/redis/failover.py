"""Failover under Sentinel and Redis Cluster alike: a call that is sent again, and connections to the primaries.

A failover, in order: a command fails or is refused (`Call`); the primaries are doubted and searched (`_current`), as
sentinel.py or cluster.py does it; the call is sent again, where that is safe, within the budgets (`execute`). Under
`Outage.WAIT`, outage.py goes on for longer. durability.py and lease.py decide about a reply, failover or not.
"""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import redis

from ...store import Budgets, StoreUnavailable
from ..background import start_thread
from ..forks import reset_in_children
from .address import Address, ServerList, make_pool
from .connection import Command, Connection, NotApplied, ServerConnections, is_permanent
from .exchange import exchange

Found = TypeVar("Found")
Answer = TypeVar("Answer")

PAUSE = 0.05
"""Seconds between two searches; requests in between get the result of the last one."""
GRACE = 0.05
"""Seconds after the first answer in which others are still collected: a later answer may be newer."""
_CODES = ("READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")
_KINDS = (redis.ReadOnlyError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError)


class Call:
    """Commands that are sent until each has a reply that counts.

    A refusal does not count: another server, or this server a little later, may accept the command. With
    `until_replicated`, neither does a WAIT that too few replicas confirmed; it is repeated with its write. Idempotent
    commands may be sent again after any failure, others only where they were certainly not applied.
    """

    def __init__(self, commands: Sequence[Command], idempotent: bool, until_replicated: bool) -> None:
        self.commands = commands
        self.idempotent = idempotent
        self._until_replicated = until_replicated and idempotent
        self.replies: list[Any] = [None] * len(commands)
        self.open = set(range(len(commands)))
        """Positions of the commands to send."""
        self.failure: StoreUnavailable | None = None
        """The error of the last attempt, if it got no reply."""
        self.attempts = 0

    def attempt(self, send: Callable[[Call], None]) -> bool:
        """Let `send` send the open commands and add the replies. Return whether all commands are done.

        Raises an error after which none may be sent again.
        """
        if self.attempts:
            self.failure = None
            for at in self.open:
                self.replies[at] = None
        self.attempts += 1
        try:
            send(self)
        except StoreUnavailable as error:
            if is_permanent(error) or not (self.idempotent or isinstance(error, NotApplied)):
                raise
            self.failure = error
            return False
        if self.open:
            # What surrounds a refused command has to be repeated, too: at the least WAIT, which followed no write.
            self.open |= {at for at, command in enumerate(self.commands) if self.idempotent or command[0] == "WAIT"}
        return not self.open

    def send_open(self, execute: Callable[[Sequence[Command], bool], list[Any]]) -> None:
        """Send the open commands to one server, and add its replies."""
        if self.attempts == 1:  # the usual case, at no cost
            self.add(range(len(self.commands)), execute(self.commands, self.idempotent))
        else:
            positions = sorted(self.open)
            self.add(positions, execute([self.commands[at] for at in positions], self.idempotent))

    def add(self, positions: Iterable[int], replies: Iterable[Any]) -> None:
        """Add the replies to the commands at these positions."""
        for at, reply in zip(positions, replies, strict=True):
            self.replies[at] = reply
            if isinstance(reply, redis.ResponseError) and _is_refusal(reply):
                continue
            if self._until_replicated and self.commands[at][0] == "WAIT" and lacks_replicas(self.commands[at], reply):
                continue
            self.open.discard(at)

    def result(self) -> list[Any]:
        """Return the last replies, refusals among them. Raises `failure`."""
        if self.failure is not None:
            raise self.failure
        return self.replies


def _is_refusal(error: redis.ResponseError) -> bool:
    return isinstance(error, _KINDS) or str(error).startswith(_CODES)


def lacks_replicas(wait: Command, reply: Any) -> bool:
    """Return whether the reply to WAIT is an error, or names fewer replicas than it asks for."""
    return not isinstance(reply, int) or reply < int(wait[1])


class FailoverConnections(ABC, Generic[Found]):
    """Connections to the primaries that `_search` finds.

    After a failure they are searched again, and idempotent commands are sent again, and writes that were certainly not
    applied: `budgets.retries` times, and not after `budgets.deadline`. Raises ValueError for options of the URL.
    """

    can_fail_over = True
    _until_replicated = False
    """Whether a primary is in doubt when too few replicas confirm its write."""

    def __init__(self, servers: ServerList, budgets: Budgets) -> None:
        self._servers = servers
        self._budgets = budgets
        self._discovery_pools: dict[str, redis.ConnectionPool] = {}
        make_pool(servers.server_url(servers.addresses[0]), budgets)  # to raise ValueError here, not in a request
        reset_in_children(self)

    def _reset(self) -> None:
        self._known: dict[Address, ServerConnections] = {}
        self._searching = threading.Lock()
        self._found: Found | None = None
        self._is_doubtful = True
        self._not_before = 0.0
        self._failure: StoreUnavailable | None = None

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        call = Call(commands, idempotent, self._until_replicated)
        until = time.monotonic() + self._budgets.deadline
        for _ in range(self._budgets.retries + 1):
            if call.attempt(self._send) or time.monotonic() >= until:
                break
        return call.result()

    @abstractmethod
    def _send(self, call: Call) -> None:
        """Send the open commands of the call to their primaries, and doubt those that fail."""

    @abstractmethod
    def _search(self) -> Found:
        """Search the primaries. Raises `StoreUnavailable` where none is found."""

    def _current(self) -> Found:
        """Return the last search's result. Where it is in doubt, one request searches, and others wait for it."""
        if self._found is not None and not self._is_doubtful:
            return self._found
        with self._searching:
            if self._is_doubtful and time.monotonic() >= self._not_before:
                self._is_doubtful = False
                try:
                    self._found, self._failure = self._search(), None
                except StoreUnavailable as error:
                    self._is_doubtful, self._failure = True, error
                    self._not_before = time.monotonic() + PAUSE
                except BaseException:  # also an exit or a timeout of gevent: the next request searches
                    self._is_doubtful = True
                    raise
            if self._found is None or self._failure is not None:
                raise NotApplied(str(self._failure)) from (self._failure.__cause__ if self._failure else None)
            return self._found

    def _at(self, address: Address) -> ServerConnections:
        connections = self._known.get(address)
        if connections is None:
            pool = make_pool(self._servers.server_url(address), self._budgets)
            made = ServerConnections(pool, self._budgets.without_retries(), check_role=False)
            connections = self._known.setdefault(address, made)
        return connections

    def _retire_all_but(self, primaries: Collection[Address]) -> None:
        for address in self._known.keys() - set(primaries):
            self._known.pop(address).retire()

    def _ask_all(
        self,
        urls: Mapping[Address, str],
        commands: Sequence[Command],
        parse: Callable[[Address, list[Any]], Answer],
        failed: str,
        grace: float = GRACE,
    ) -> list[Answer]:
        """Return the answers that arrive within `grace` seconds after the first one. Raises `NotApplied` for none.

        All servers are asked at the same time, each in a thread of its own (under gevent: a greenlet), so that a dead
        one costs nothing and a silent one 50 ms. redis-py asks one after another, each for as long as its timeouts
        allow (4.6 s for a dead one with its defaults), and trusts the first.
        """
        arrived: queue.Queue[Answer | Exception] = queue.Queue()

        def ask(address: Address, url: str) -> None:
            try:
                if url not in self._discovery_pools:
                    self._discovery_pools[url] = make_pool(url, self._budgets)
                arrived.put(parse(address, _ask_once(self._discovery_pools[url], commands)))
            except (redis.RedisError, OSError) as error:
                arrived.put(error)
            except Exception as error:  # noqa: BLE001 - the answers may be anything
                arrived.put(redis.InvalidResponse(f"{address} answers nonsense: {type(error).__name__}"))

        for item in urls.items():
            try:
                start_thread("discovery", ask, *item)
            except OSError as error:
                arrived.put(error)
        until = time.monotonic() + self._budgets.connect_timeout + self._budgets.read_timeout
        answers: list[Answer] = []
        failures: list[Exception] = []
        for _ in urls:
            try:
                answer = arrived.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                break
            if isinstance(answer, Exception):
                failures.append(answer)
                continue
            if not answers:
                until = min(until, time.monotonic() + grace)
            answers.append(answer)
        if not answers:
            why = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or "none answered in time"
            # The cause if all have one type of it: a wrong password is worth no second try.
            cause = failures[0] if len({type(failure) for failure in failures}) == 1 else None
            raise NotApplied(f"Redis: {failed}: {why}") from cause
        return answers

    def close_idle(self) -> None:
        for connections in list(self._known.values()):
            connections.close_idle()

    def close(self) -> None:
        for connections in self._known.values():
            connections.close()
        for pool in self._discovery_pools.values():
            pool.disconnect()


def _ask_once(pool: redis.ConnectionPool, commands: Sequence[Command]) -> list[Any]:
    """Return the replies of a server that is rarely asked, and close the connection. Raises redis-py's errors."""
    connection: Connection = pool.get_connection()
    try:
        return exchange(connection, commands, marked=False)
    finally:
        connection.disconnect()
        pool.release(connection)
