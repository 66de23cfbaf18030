"""Running scripts and commands whose errors are nobody's business but the store's.

----

From a URL to what answers commands: one server, the primary that Sentinels name, or a cluster.

----

Going through all sessions of a store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from ...store import Budgets, StoreUnavailable
from . import scripts
from .address import Servers, pool_of
from .cluster import ClusterConnections
from .connection import Asks, Command, Connections
from .sentinel import PrimaryConnections


class Calls:
    """Commands and scripts to one store."""

    def __init__(self, connections: Asks) -> None:
        self._connections = connections

    def everywhere(self) -> list[Calls]:
        """To each part of the store."""
        return [Calls(asks) for asks in self._connections.everywhere()]

    def send(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """The answers in one round trip, errors of the server's among them; `StoreUnavailable` where there is none.

        A script that the server has not seen is loaded and called again, which is a second round trip.
        """
        answers = self._connections.ask(commands, idempotent)
        for answer in answers:
            if isinstance(answer, redis.exceptions.NoScriptError):
                return self._load_and_send(commands, answers, idempotent)
        return answers

    def _load_and_send(self, commands: Sequence[Command], answers: list[Any], idempotent: bool) -> list[Any]:
        loads: dict[str, Command] = {}
        again: list[int] = []
        for at, (command, answer) in enumerate(zip(commands, answers, strict=True)):
            if isinstance(answer, redis.exceptions.NoScriptError):
                loads[str(command[1])] = scripts.BY_SHA[str(command[1])].load
                again.append(at)
            elif command[0] == "WAIT":  # it spoke of what was not done yet
                again.append(at)
        new = self._connections.ask([*loads.values(), *(commands[at] for at in again)], idempotent)
        for at, answer in zip(again, new[len(loads) :], strict=True):
            answers[at] = answer
        return answers

    def run(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """The same, where any error of the server's is a `StoreUnavailable`."""
        answers = self.send(commands, idempotent)
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                raise StoreUnavailable(f"Redis: {answer}") from answer
        return answers


def connections_of(url: str, budgets: Budgets, ca_file: Path | None = None) -> Asks:
    """Connects when first used. ValueError for a URL that can't be meant."""
    servers = Servers.parse(url)
    if servers is None:
        return Connections(pool_of(url, budgets, ca_file), budgets)
    if servers.by == "cluster":
        return ClusterConnections(servers, budgets, ca_file)
    return PrimaryConnections(servers, budgets, ca_file)


_AT_ONCE = 1000
"""Keys of the server that one SCAN looks at: less than a millisecond of its time."""


def scan(calls: Calls, prefix: str) -> Iterator[str]:
    """The key of each session, once. What SCAN guarantees: all that are there from its beginning to its end."""
    start = f"{prefix}{{"
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", start) + "[0-9a-f]*}"  # what begins otherwise is a counter
    session = re.compile(re.escape(start).encode() + rb"([0-9a-f]{64})\}")
    seen: set[str] = set()
    for part in calls.everywhere():
        for name in _names(part, pattern):
            found = session.fullmatch(name)  # somebody else's may be below the prefix, and be no text
            if found and (key := found[1].decode()) not in seen:
                seen.add(key)
                yield key


def _names(calls: Calls, pattern: str) -> Iterator[bytes]:
    cursor: bytes | str = "0"
    while True:
        command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)
        cursor, names = calls.run([command], idempotent=True)[0]
        yield from names
        if int(cursor) == 0:
            return
