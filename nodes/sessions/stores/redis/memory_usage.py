"""The share of its memory that a Redis store uses, so that some can be kept free for logins."""

from __future__ import annotations

import re

from redis import ResponseError

from ...outage_log import log
from .connection import Command, CommandExecutor

_INFO: Command = ("INFO", "memory")
_NUMBER = re.compile(rb"(\w+):(\d{1,19})\r")


class MemoryGauge:
    """The used memory of the servers behind `connections`. Never waits for a primary."""

    def __init__(self, connections: CommandExecutor) -> None:
        self._connections = connections
        self._is_refused = False

    def used_share(self) -> float | None:
        """Return the used share of `maxmemory`, of the fullest primary; None without a limit, or where INFO is refused.

        One round trip to each primary, one after another: INFO memory. Raises `StoreUnavailable`.
        """
        shares = []
        for executor in self._connections.partitions():
            reply = executor.execute([_INFO])[0]  # not repeated: a request waits for it
            if isinstance(reply, ResponseError):
                self._warn(reply)
            elif (share := _parse(reply)) is not None:
                shares.append(share)
        return max(shares, default=None)

    def _warn(self, error: ResponseError) -> None:
        if not self._is_refused:
            self._is_refused = True
            log.warning("the store's memory is unknown, so anonymous sessions may fill it: %s", error)


def _parse(info: bytes) -> float | None:
    """Return the share that counts against `maxmemory`: without buffers of replicas and of the append-only file."""
    numbers = {name: int(value) for name, value in _NUMBER.findall(info)}
    most = numbers.get(b"maxmemory", 0)
    if not most:
        return None
    return (numbers.get(b"used_memory", 0) - numbers.get(b"mem_not_counted_for_evict", 0)) / most
