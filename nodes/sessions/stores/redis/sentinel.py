"""The primary that Sentinels name: found by asking all, checked with every read, found again after a failure.

redis-py's `Sentinel`, with budgets of 0.25 s and without retries, believes the first one that answers, which may still
name the previous primary. Used here in its place, it broke experiments 10 (140 failed requests, a gap of 1.15 s) and 13
(163 and 181, gaps of 1.31 and 1.65 s), in short form and with one run each. Its connections give the answer to one
request to another: docs/redis.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import redis

from ...store import Budgets, StoreUnavailable
from .address import Address, ServerList, to_address
from .connection import ROLE, Command, NotApplied, ServerConnections
from .failover import GRACE, Call, FailoverConnections, lacks_replicas
from .lease import Lease, Opinion, vote_of

_TRUST_SECONDS = 1.0
"""Seconds for which a primary without replicas is trusted after the Sentinels confirmed it."""
_PATIENCE = 0.25
"""Seconds after the first answer for which a lease waits for other Sentinels: one may know of a failover."""


class Primary(NamedTuple):
    address: Address
    connections: ServerConnections


class _Demoted(NotApplied):
    """The reply is that of a replica, and is discarded."""

    def __init__(self, primary: Address) -> None:
        super().__init__(f"Redis: the server that was the primary is a replica of {primary} now")
        self.primary = primary


class SentinelConnections(FailoverConnections[Primary]):
    """Connections to the primary that Sentinels name.

    A replica refuses writes, but a primary that was demoted would go on answering reads with old data. So ROLE is in
    the packet of each read, and the replies of a replica are discarded. So are those of a primary without replicas,
    until the Sentinels have confirmed that it is the primary. A write that replicas confirmed counts under the lease of
    its primary; with `leased_reads`, so does a read. redis-py's own `Sentinel` checks none of these.
    """

    _until_replicated = True

    def __init__(self, servers: ServerList, budgets: Budgets, leased_reads: bool = False) -> None:
        super().__init__(servers, budgets)
        self._leased_reads = leased_reads

    def _reset(self) -> None:
        super()._reset()
        self._lease = Lease(self._ask_about)
        self._trusted: Primary | None = None
        self._trusted_until = 0.0

    def partitions(self) -> Sequence[SentinelConnections]:
        return (self,)

    def _send(self, call: Call) -> None:
        primary = self._current()
        try:
            call.send_open(partial(self._exchange, primary))
        finally:
            if call.open:
                self._doubt(primary)

    def _doubt(self, primary: Primary) -> None:
        if self._found == primary:
            self._is_doubtful = True

    def _exchange(self, primary: Primary, commands: Sequence[Command], idempotent: bool) -> list[Any]:
        """Return the replies; those of reads only from the primary. Raises `NotApplied` for those of another server.

        Raises `NotConfirmed` for a reply that the lease does not cover.
        """
        if any(command[0] == "EVALSHA" for command in commands) or not idempotent:
            replies = self._execute(primary, commands, idempotent)
            if commands[-1][0] == "WAIT" and not lacks_replicas(commands[-1], replies[-1]):
                self._lease.confirm_write(primary.address)
            return replies
        *replies, role = self._execute(primary, [*commands, ROLE], idempotent)
        is_trusted = self._trusted == primary and self._trusted_until > time.monotonic()
        if not _has_replicas(role) and not is_trusted:
            # It may have been replaced while it was silent or disconnected, without knowing it; the Sentinels know.
            self._doubt(primary)
            if self._current() != primary:
                raise NotApplied("Redis: the primary has been replaced")
            self._trusted, self._trusted_until = primary, time.monotonic() + _TRUST_SECONDS
        if self._leased_reads:
            self._lease.confirm_read(primary.address)
        return replies

    def _execute(self, primary: Primary, commands: Sequence[Command], idempotent: bool) -> list[Any]:
        try:
            replies = primary.connections.execute(commands, idempotent)
        except StoreUnavailable:
            self._lease.note_silence(primary.address)
            raise
        self._lease.note_reply(primary.address)
        return replies

    def _search(self) -> Primary:
        """Return the server that the Sentinels name and that is a primary by ROLE.

        The latest epoch first: a disconnected Sentinel may still name the previous primary.
        """
        failure: StoreUnavailable | None = None
        opinions = sorted(self._ask_sentinels(), key=lambda opinion: opinion.epoch, reverse=True)
        addresses = list(dict.fromkeys(opinion.primary for opinion in opinions))
        for address in addresses:
            connections = self._at(address)
            try:
                _has_replicas(connections.execute([ROLE], idempotent=True)[0])
            except StoreUnavailable as error:
                failure = error
                # In a coordinated failover it knows its successor up to a second earlier than the Sentinels.
                if isinstance(error, _Demoted) and error.primary not in addresses:
                    addresses.append(error.primary)
            else:
                self._retire_all_but([address])
                return Primary(address, connections)
        raise failure or NotApplied("Redis: no primary")

    def _ask_about(self, primary: Address) -> list[Opinion]:
        """Return the opinions of the Sentinels on the lease of `primary`."""
        return self._ask_sentinels(_PATIENCE, vote_of(primary))

    def _ask_sentinels(self, grace: float = GRACE, *more: Command) -> list[Opinion]:
        """Return the opinions of the Sentinels that answer. Raises `NotApplied` for none."""
        name = self._servers.name
        urls = {address: self._servers.sentinel_url(address) for address in self._servers.addresses}
        commands: list[Command] = [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name), *more]
        return self._ask_all(urls, commands, Opinion.parse, f"no Sentinel knows the primary {name!r}", grace)


def _has_replicas(role: Any) -> bool:
    """Return whether a reply to ROLE lists connected replicas. Raises `NotApplied` for the reply of a replica."""
    if isinstance(role, redis.ResponseError):
        raise NotApplied(f"Redis: {role}") from role
    if role[0] != b"master":
        try:
            raise _Demoted(to_address(role[1], role[2]))
        except ValueError as error:
            raise NotApplied(f"Redis: {error}") from error
    return bool(role[2])
