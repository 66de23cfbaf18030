"""The primary that Sentinels name: found by asking all, checked with every read, found again after a failure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import redis

from ...store import StoreUnavailable
from .address import Address, to_address
from .connection import ROLE, Command, NotApplied, ServerConnections
from .failover import FailoverConnections
from .retry import Call
from .scripts import to_dict

_TRUST_SECONDS = 1.0
"""Seconds for which a primary without replicas is trusted after the Sentinels confirmed it."""


class _Demoted(NotApplied):
    """The reply is that of a replica, and is discarded."""

    def __init__(self, primary: Address) -> None:
        super().__init__(f"Redis: the server that was the primary is a replica of {primary} now")
        self.primary = primary


class SentinelConnections(FailoverConnections[ServerConnections]):
    """Connections to the primary that Sentinels name.

    A replica refuses writes, but a primary that was demoted would go on answering reads with old data. So ROLE is in
    the packet of each read, and the replies of a replica are discarded. So are those of a primary without replicas,
    until the Sentinels have confirmed that it is the primary. redis-py's own `Sentinel` does not check this.
    """

    _until_replicated = True

    def _reset(self) -> None:
        super()._reset()
        self._trusted: ServerConnections | None = None
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

    def _doubt(self, primary: ServerConnections) -> None:
        if self._found is primary:
            self._is_doubtful = True

    def _exchange(self, primary: ServerConnections, commands: Sequence[Command], idempotent: bool) -> list[Any]:
        """Return the replies; those of reads only from the primary. Raises `NotApplied` for those of another server."""
        if any(command[0] == "EVALSHA" for command in commands) or not idempotent:
            return primary.execute(commands, idempotent)
        *replies, role = primary.execute([*commands, ROLE], idempotent)
        is_trusted = self._trusted is primary and self._trusted_until > time.monotonic()
        if not _has_replicas(role) and not is_trusted:
            # It may have been replaced while it was silent or disconnected, without knowing it; the Sentinels know.
            self._doubt(primary)
            if self._current() is not primary:
                raise NotApplied("Redis: the primary has been replaced")
            self._trusted, self._trusted_until = primary, time.monotonic() + _TRUST_SECONDS
        return replies

    def _search(self) -> ServerConnections:
        failure: StoreUnavailable | None = None
        addresses = self._ask_sentinels()
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
                return connections
        raise failure or NotApplied("Redis: no primary")

    def _ask_sentinels(self) -> list[Address]:
        """Return the primaries that the Sentinels name, latest epoch first. Raises `NotApplied` for none.

        A disconnected Sentinel may still name the previous primary.
        """
        name = self._servers.name
        urls = {address: self._servers.sentinel_url(address) for address in self._servers.addresses}
        # During a failover, the second still names the previous primary.
        commands: list[Command] = [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name)]
        answers = self._ask_all(urls, commands, _parse_primary, f"no Sentinel knows the primary {name!r}")
        newest_first = sorted(answers, key=lambda answer: answer[1], reverse=True)
        return list(dict.fromkeys(address for address, _ in newest_first))


def _parse_primary(_sentinel: Address, replies: list[Any]) -> tuple[Address, int]:
    """Return the primary that a Sentinel names, and its epoch."""
    (host, port), state = replies
    return to_address(host, port), int(to_dict(state)[b"config-epoch"])


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
