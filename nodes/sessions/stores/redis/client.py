"""A Redis store's client: commands and Lua scripts to one server, the primary that Sentinels name, or a cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from ...checks import check_type, check_url, describe_type, to_choice
from ...store import Budgets, StoreUnavailable
from . import scripts
from .address import ServerList, make_pool
from .cluster import ClusterConnections
from .connection import Command, CommandExecutor, ServerConnections
from .durability import Durability, DurabilityValue
from .sentinel import SentinelConnections

_SCAN_SECONDS = 60.0
"""Time that a server may take for all pages of a scan: tens of millions of keys. A cursor may never come to its end."""
_SCAN_COUNT = 1000
"""Keys of the server that one SCAN looks at: less than a millisecond of its time."""


def connect(
    url: str, budgets: Budgets, durability: Durability | DurabilityValue = Durability.PRIMARY
) -> CommandExecutor:
    """Return connections to the servers of `url`; they connect when first used. Raises ValueError.

    With Sentinels, reads are under the lease of the primary where writes wait for replicas (`durability`).
    """
    check_url(url)
    check_type("budgets", budgets, Budgets, "a Budgets")
    durability = to_choice("durability", durability, Durability, {})
    servers = ServerList.parse(url)
    if servers is None:
        return ServerConnections(make_pool(url, budgets), budgets)
    if servers.kind == "cluster":
        return ClusterConnections(servers, budgets)
    return SentinelConnections(servers, budgets, leased_reads=durability is not Durability.PRIMARY)


def check_connections(connections: object) -> None:
    """Raise TypeError for what is not one of those that `connect` returns."""
    if not callable(getattr(connections, "execute", None)):
        raise TypeError(
            f"connections must be those of a store, not {describe_type(connections)}: write from_url(url), or"
            " from_client(client)"
        )


class RedisClient:
    """Sends commands and scripts to one store."""

    def __init__(self, executor: CommandExecutor) -> None:
        self._executor = executor

    def send(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """Return the replies of one round trip, errors of the server among them. Raises `StoreUnavailable`.

        A script that the server does not know is loaded and called again, which is a second round trip.
        """
        replies = self._executor.execute(commands, idempotent)
        for reply in replies:
            if isinstance(reply, ResponseError):
                return self._with_scripts(commands, replies, idempotent)
        return replies

    def run(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """Return the replies of one round trip. Raises `StoreUnavailable` for an error of the server, too."""
        replies = self._executor.execute(commands, idempotent)
        for reply in replies:
            if isinstance(reply, ResponseError):
                break
        else:
            return replies
        replies = self._with_scripts(commands, replies, idempotent)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise StoreUnavailable(f"Redis: {reply}") from reply
        return replies

    def reconnect(self) -> None:
        """Close the idle connections, so that the next commands go over a new one."""
        self._executor.close_idle()

    def time(self) -> float:
        """Return the server's clock in seconds since the epoch."""
        command: Command = ("TIME",)
        return to_seconds(self.run([command], idempotent=True)[0])

    def scan(self, pattern: str) -> Iterator[bytes]:
        """Yield the keys on all servers that match `pattern`. May repeat keys, and lack keys created meanwhile.

        Raises `StoreUnavailable` where the servers take more than a minute for it.
        """
        left = _SCAN_SECONDS
        for executor in self._executor.partitions():
            client, cursor, seen = RedisClient(executor), 0, set[int]()
            while cursor not in seen:
                seen.add(cursor)
                command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
                started = time.monotonic()
                page = client.run([command], idempotent=True)[0]
                left -= time.monotonic() - started  # without the time that the caller takes for a page
                if left < 0:
                    raise StoreUnavailable(f"Redis: SCAN takes more than {_SCAN_SECONDS:g} s")
                yield from page[1]
                cursor = int(page[0])
            if cursor:
                raise StoreUnavailable("Redis: SCAN repeats itself")

    def _with_scripts(self, commands: Sequence[Command], replies: list[Any], idempotent: bool) -> list[Any]:
        """Load the scripts that the server does not know, and replace the replies of what is sent again."""
        loads: dict[str, Command] = {}
        again: list[int] = []
        for at, (command, reply) in enumerate(zip(commands, replies, strict=True)):
            if isinstance(reply, NoScriptError) and command[0] == "EVALSHA":
                loads[str(command[1])] = scripts.BY_SHA[str(command[1])].load
                again.append(at)
            elif command[0] == "WAIT":  # its write had not been applied
                again.append(at)
        if loads:
            new = self._executor.execute([*loads.values(), *(commands[at] for at in again)], idempotent)
            for at, reply in zip(again, new[len(loads) :], strict=True):
                replies[at] = reply
        return replies


def escape_pattern(text: str) -> str:
    """Return `text` for use in a pattern of SCAN."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", text)


def to_seconds(reply: list[bytes]) -> float:
    """Return the reply to TIME in seconds since the epoch."""
    seconds, microseconds = reply
    return int(seconds) + int(microseconds) / 1e6
