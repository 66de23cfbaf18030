"""Who is the primary: what Sentinels say, and how long that may take.

----

Commands to whoever is the primary: found by Sentinels, checked with every read, found anew after every failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import redis

from ...store import Budgets, StoreUnavailable
from .address import Place, Servers, pool_of
from .connection import Command, Connections, NotApplied, generation, is_lasting, is_refusal
from .discovery import asked_once, gather
from .scripts import hash_of


class Sentinels:
    """The Sentinels of a URL. All are asked at once, so one that is dead costs nothing, and one that is silent 50 ms.

    redis-py's own `Sentinel` keeps no such budget: it asks them in turn, believes the first, and does not look whether
    the server that it is told of says the same of itself.
    """

    def __init__(self, servers: Servers, budgets: Budgets, ca_file: Path | None) -> None:
        self._name = servers.name
        self._pools = [pool_of(servers.url_of_sentinel(place), budgets, ca_file) for place in servers.places]
        self._seconds = budgets.connect_timeout + budgets.read_timeout

    def primaries(self) -> list[Place]:
        """Whom they name, and who named it in the latest of their epochs first: a Sentinel that was cut off may still
        name the one before. `NotApplied` where none of them names anybody.
        """
        answers, failures = gather([partial(self._ask, pool) for pool in self._pools], self._seconds)
        epochs: dict[Place, int] = {}
        for place, epoch in answers:
            epochs[place] = max(epoch, epochs.get(place, 0))
        if not epochs:
            why = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or "none answered in time"
            raise NotApplied(f"Redis: no Sentinel knows the primary {self._name!r}: {why}") from _cause(failures)
        return sorted(epochs, key=lambda place: epochs[place], reverse=True)

    def _ask(self, pool: redis.ConnectionPool) -> tuple[Place, int]:
        # While it fails over, the second still names the one before.
        named: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
        known: Command = ("SENTINEL", "MASTER", self._name)
        (host, port), state = asked_once(pool, [named, known])
        return Place(host.decode(), int(port)), int(hash_of(state)[b"config-epoch"])

    def close(self) -> None:
        for pool in self._pools:
            pool.disconnect()


def _cause(failures: list[Exception]) -> Exception | None:
    """Why nobody answered, if it is one reason for all: a wrong password is worth no second try."""
    kinds = {type(failure) for failure in failures}
    return failures[0] if len(kinds) == 1 else None


_LONELY = 1.0
"""Seconds for which a primary without replicas is believed once the Sentinels have confirmed it."""
_PAUSE = 0.05
"""Seconds between two searches that found nobody; who asks meanwhile hears what the last one found."""
_ROLE: Command = ("ROLE",)


class _DemotedError(NotApplied):
    """A replica's answer, which counts for nothing."""

    def __init__(self, heir: Place) -> None:
        super().__init__(f"Redis: what was the primary is a replica of {heir} now")
        self.heir = heir


class _Connections(Connections):
    """To one server, which may be the primary."""

    is_believed_until = 0.0
    """By the monotonic clock, although it has no replicas."""


class PrimaryConnections:
    """To the primary of some Sentinels.

    A replica refuses a write by itself, but not a read: a primary that was demoted would go on answering with what it
    knew. So ROLE travels in the packet of each read, and what a replica has answered counts for nothing. Nor does what
    a primary answers that has lost its replicas, until the Sentinels have confirmed that it still is one.

    What failed is tried again at whom the Sentinels name then, `budgets.retries` times and not after
    `budgets.deadline`: what is idempotent, and writes of which it is certain that nothing was applied.
    """

    can_fail_over = True

    def __init__(self, servers: Servers, budgets: Budgets, ca_file: Path | None = None) -> None:
        self._servers = servers
        self._budgets = budgets
        self._ca_file = ca_file
        self._sentinels = Sentinels(servers, budgets, ca_file)
        self._begin()

    def _begin(self) -> None:
        self._generation = generation()
        self._finding = threading.Lock()
        self._known: dict[Place, _Connections] = {}
        self._primary: _Connections | None = None
        self._not_before = 0.0
        self._why: StoreUnavailable | None = None

    def everywhere(self) -> Sequence[PrimaryConnections]:
        return (self,)

    def ask(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        attempts = self._budgets.retries
        until = time.monotonic() + self._budgets.deadline
        while True:
            connections: _Connections | None = None
            answers: list[Any] = []
            failure: StoreUnavailable | None = None
            try:
                connections = self._primary or self._found()
                answers = self._asked(connections, commands, idempotent)
                if not _is_doubtful(commands, answers):
                    return answers
                may_repeat = idempotent or all(is_refusal(answer) for answer in answers)
            except StoreUnavailable as error:
                may_repeat = idempotent or isinstance(error, NotApplied)
                failure = error
            if connections is not None:
                self._doubt(connections)
            if attempts <= 0 or not may_repeat or time.monotonic() >= until or (failure and is_lasting(failure)):
                if failure is not None:
                    raise failure
                return answers
            attempts -= 1

    def _asked(self, connections: _Connections, commands: Sequence[Command], idempotent: bool) -> list[Any]:
        """The answers; where they are those of reads, only the primary's. `NotApplied` for others."""
        if any(command[0] == "EVALSHA" for command in commands) or not idempotent:
            return connections.ask(commands, idempotent)
        *answers, role = connections.ask([*commands, _ROLE], idempotent)
        if _has_replicas(role) or connections.is_believed_until > time.monotonic():
            return answers
        # It may have been replaced while it was silent or cut off, and not know it yet; the Sentinels do.
        self._doubt(connections)
        if self._found() is not connections:
            raise NotApplied("Redis: what was the primary has been replaced")
        connections.is_believed_until = time.monotonic() + _LONELY
        return answers

    def _found(self) -> _Connections:
        """The primary, which one of those who ask looks for while the others wait for what it finds."""
        if self._generation != generation():
            self._begin()
        with self._finding:
            if self._primary is not None:
                return self._primary
            if self._why is not None and time.monotonic() < self._not_before:
                raise NotApplied(str(self._why)) from self._why.__cause__
            try:
                self._primary = self._find()
            except StoreUnavailable as error:
                self._why, self._not_before = error, time.monotonic() + _PAUSE
                raise
            return self._primary

    def _find(self) -> _Connections:
        failure = NotApplied("Redis: there is no primary")
        places = self._sentinels.primaries()
        for place in places:
            found = self._known.get(place) or self._connections(place)
            self._known[place] = found
            try:
                _has_replicas(found.ask([_ROLE], idempotent=True)[0])
            except _DemotedError as demoted:
                failure = demoted
                # In a coordinated failover it knows up to a second earlier than the Sentinels who follows it.
                if demoted.heir not in places:
                    places.append(demoted.heir)
                continue
            except StoreUnavailable as error:
                failure = NotApplied(str(error))
                failure.__cause__ = error.__cause__
                continue
            for other in self._known.keys() - {place}:
                self._known.pop(other).retire()
            return found
        raise failure

    def _connections(self, place: Place) -> _Connections:
        pool = pool_of(self._servers.url_of(place), self._budgets, self._ca_file)
        return _Connections(pool, self._budgets.without_retries(), looks=False)

    def _doubt(self, connections: _Connections) -> None:
        if self._primary is connections:
            self._primary = None

    def close(self) -> None:
        for connections in self._known.values():
            connections.close()
        self._sentinels.close()


def _has_replicas(role: Any) -> bool:
    """Whether a primary answered so, and replicas are in touch with it. `NotApplied` for a replica."""
    if isinstance(role, redis.ResponseError):
        raise NotApplied(f"Redis: {role}") from role
    if role[0] != b"master":
        raise _DemotedError(Place(role[1].decode(), int(role[2])))
    return bool(role[2])


def _is_doubtful(commands: Sequence[Command], answers: Sequence[Any]) -> bool:
    """Whether they are what a server says that is not the primary, or not any more: it refuses, or no replica is left
    that would confirm a write, or it became a replica between a write and its WAIT."""
    for command, answer in zip(commands, answers, strict=True):
        if is_refusal(answer):
            return True
        if command[0] == "WAIT" and (not isinstance(answer, int) or answer < int(command[1])):
            return True
    return False
