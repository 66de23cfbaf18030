"""The primary that Sentinels name: found by asking all, checked with every read, found again after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import redis

from ...store import Budgets, StoreUnavailable
from .address import Address, ServerList, make_pool
from .connection import ROLE, Command, NotApplied, ServerConnections, generation, is_permanent, is_refusal
from .discovery import ask_once, describe, gather
from .outage import lacks_replicas
from .scripts import to_dict

_TRUST_SECONDS = 1.0
"""Seconds for which a primary without replicas is trusted after the Sentinels confirmed it."""
_PAUSE = 0.05
"""Seconds between two searches that found no primary; requests in between get the failure of the last one."""


class Sentinels:
    """The Sentinels of a URL. All are asked at the same time: a dead one costs nothing, a silent one 50 ms.

    redis-py's own `Sentinel` has no such budget: it asks one after another, trusts the first, and does not check that
    the named server is a primary.
    """

    def __init__(self, servers: ServerList, budgets: Budgets, ca_file: Path | None) -> None:
        self._name = servers.name
        self._pools = [make_pool(servers.sentinel_url(each), budgets, ca_file) for each in servers.addresses]
        self._seconds = budgets.connect_timeout + budgets.read_timeout

    def primaries(self) -> list[Address]:
        """Return the primaries that the Sentinels name, latest epoch first. Raises `NotApplied` for none.

        A disconnected Sentinel may still name the previous primary.
        """
        answers, failures = gather([partial(self._ask, pool) for pool in self._pools], self._seconds)
        epochs: dict[Address, int] = {}
        for address, epoch in answers:
            epochs[address] = max(epoch, epochs.get(address, 0))
        if not epochs:
            why, cause = describe(failures)
            raise NotApplied(f"Redis: no Sentinel knows the primary {self._name!r}: {why}") from cause
        return sorted(epochs, key=lambda address: epochs[address], reverse=True)

    def _ask(self, pool: redis.ConnectionPool) -> tuple[Address, int]:
        # During a failover, the second still names the previous primary.
        get_address: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
        get_state: Command = ("SENTINEL", "MASTER", self._name)
        (host, port), state = ask_once(pool, [get_address, get_state])
        return Address(host.decode(), int(port)), int(to_dict(state)[b"config-epoch"])

    def close(self) -> None:
        for pool in self._pools:
            pool.disconnect()


class _Demoted(NotApplied):
    """The reply is that of a replica, and is discarded."""

    def __init__(self, primary: Address) -> None:
        super().__init__(f"Redis: the server that was the primary is a replica of {primary} now")
        self.primary = primary


class _Connections(ServerConnections):
    """Connections to one server that may be the primary."""

    trusted_until = 0.0
    """The end of `_TRUST_SECONDS` by the monotonic clock, for a primary without replicas."""


class SentinelConnections:
    """Connections to the primary that Sentinels name.

    A replica refuses writes, but a primary that was demoted would go on answering reads with old data. So ROLE is in
    the packet of each read, and the replies of a replica are discarded. So are those of a primary without replicas,
    until the Sentinels have confirmed that it is the primary.

    After a failure the Sentinels are asked again, and idempotent commands are sent again, and writes that were
    certainly not applied: `budgets.retries` times, and not after `budgets.deadline`.
    """

    can_fail_over = True

    def __init__(self, servers: ServerList, budgets: Budgets, ca_file: Path | None = None) -> None:
        self._servers = servers
        self._budgets = budgets
        self._ca_file = ca_file
        self._sentinels = Sentinels(servers, budgets, ca_file)
        self._reset()

    def _reset(self) -> None:
        self._generation = generation()
        self._searching = threading.Lock()
        self._known: dict[Address, _Connections] = {}
        self._primary: _Connections | None = None
        self._not_before = 0.0
        self._failure: StoreUnavailable | None = None

    def partitions(self) -> Sequence[SentinelConnections]:
        return (self,)

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        attempts = self._budgets.retries
        until = time.monotonic() + self._budgets.deadline
        while True:
            connections: _Connections | None = None
            replies: list[Any] = []
            failure: StoreUnavailable | None = None
            try:
                connections = self._primary or self._find_primary()
                replies = self._attempt(connections, commands, idempotent)
                if not _is_doubtful(commands, replies):
                    return replies
                may_repeat = idempotent or all(is_refusal(reply) for reply in replies)
            except StoreUnavailable as error:
                may_repeat = idempotent or isinstance(error, NotApplied)
                failure = error
            if connections is not None:
                self._distrust(connections)
            if attempts <= 0 or not may_repeat or time.monotonic() >= until or (failure and is_permanent(failure)):
                if failure is not None:
                    raise failure
                return replies
            attempts -= 1

    def _attempt(self, connections: _Connections, commands: Sequence[Command], idempotent: bool) -> list[Any]:
        """Return the replies; those of reads only from the primary. Raises `NotApplied` for those of another server."""
        if any(command[0] == "EVALSHA" for command in commands) or not idempotent:
            return connections.execute(commands, idempotent)
        *replies, role = connections.execute([*commands, ROLE], idempotent)
        if _has_replicas(role) or connections.trusted_until > time.monotonic():
            return replies
        # It may have been replaced while it was silent or disconnected, without knowing it; the Sentinels know.
        self._distrust(connections)
        if self._find_primary() is not connections:
            raise NotApplied("Redis: the primary has been replaced")
        connections.trusted_until = time.monotonic() + _TRUST_SECONDS
        return replies

    def _find_primary(self) -> _Connections:
        """Return the primary. One request searches for it, and the others wait for the result."""
        if self._generation != generation():
            self._reset()
        with self._searching:
            if self._primary is not None:
                return self._primary
            if self._failure is not None and time.monotonic() < self._not_before:
                raise NotApplied(str(self._failure)) from self._failure.__cause__
            try:
                self._primary = self._search()
            except StoreUnavailable as error:
                self._failure, self._not_before = error, time.monotonic() + _PAUSE
                raise
            return self._primary

    def _search(self) -> _Connections:
        failure = NotApplied("Redis: no primary")
        addresses = self._sentinels.primaries()
        for address in addresses:
            connections = self._known.get(address) or self._connect(address)
            self._known[address] = connections
            try:
                _has_replicas(connections.execute([ROLE], idempotent=True)[0])
            except _Demoted as demoted:
                failure = demoted
                # In a coordinated failover it knows its successor up to a second earlier than the Sentinels.
                if demoted.primary not in addresses:
                    addresses.append(demoted.primary)
                continue
            except StoreUnavailable as error:
                failure = NotApplied(str(error))
                failure.__cause__ = error.__cause__
                continue
            for other in self._known.keys() - {address}:
                self._known.pop(other).retire()
            return connections
        raise failure

    def _connect(self, address: Address) -> _Connections:
        pool = make_pool(self._servers.server_url(address), self._budgets, self._ca_file)
        return _Connections(pool, self._budgets.without_retries(), check_role=False)

    def _distrust(self, connections: _Connections) -> None:
        if self._primary is connections:
            self._primary = None

    def close(self) -> None:
        for connections in self._known.values():
            connections.close()
        self._sentinels.close()


def _has_replicas(role: Any) -> bool:
    """Return whether a reply to ROLE lists connected replicas. Raises `NotApplied` for the reply of a replica."""
    if isinstance(role, redis.ResponseError):
        raise NotApplied(f"Redis: {role}") from role
    if role[0] != b"master":
        raise _Demoted(Address(role[1].decode(), int(role[2])))
    return bool(role[2])


def _is_doubtful(commands: Sequence[Command], replies: Sequence[Any]) -> bool:
    """Return whether the server may no longer be the primary: it refuses, or too few replicas confirm a write."""
    return any(
        is_refusal(reply) or lacks_replicas(command, reply) for command, reply in zip(commands, replies, strict=True)
    )
