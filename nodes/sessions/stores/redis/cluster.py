"""Which server of a Redis Cluster has which slots.

----

Commands to a Redis Cluster: each to the primary of its slot, which is found again when it has moved or died."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from ...store import Budgets, StoreUnavailable
from .address import Place, Servers, pool_of
from .connection import Command, Connections, NotApplied, generation, is_lasting, is_refusal
from .discovery import asked_once, gather


@dataclass(frozen=True)
class Topology:
    """As a server of the cluster knew it in `epoch`, which grows with every failover."""

    ranges: tuple[tuple[int, int, Place], ...]
    """First slot, last slot, primary; in order."""
    epoch: int
    others: tuple[Place, ...] = ()
    """The replicas: who else can be asked."""
    primaries: tuple[Place, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "primaries", tuple(dict.fromkeys(place for *_, place in self.ranges)))

    def primary_of(self, slot: int) -> Place:
        """`NotApplied` where nobody has this slot."""
        at = bisect_right(self.ranges, slot, key=lambda each: each[0]) - 1
        if at < 0 or self.ranges[at][1] < slot:
            raise NotApplied(f"Redis: no server of the cluster has slot {slot}")
        return self.ranges[at][2]


class ClusterDiscovery:
    """Asks all servers it has ever heard of at once, and believes the one with the latest epoch.

    redis-py's RedisCluster keeps no such budget: it asks one after the other, each for all its timeouts, and believes
    the first.
    """

    def __init__(self, servers: Servers, budgets: Budgets, ca_file: Path | None) -> None:
        self._servers = servers
        self._budgets = budgets
        self._ca_file = ca_file
        self._pools: dict[Place, redis.ConnectionPool] = {}
        self._seconds = budgets.connect_timeout + budgets.read_timeout

    def topology(self, known: Topology | None) -> Topology:
        """What is so now, as those say that the URL names and that are `known`. `NotApplied` where none answers."""
        places = dict.fromkeys(self._servers.places)
        if known is not None:
            places |= dict.fromkeys((*known.primaries, *known.others))
        answers, failures = gather([partial(self._ask, place) for place in places], self._seconds)
        if not answers:
            why = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or "none answered in time"
            kinds = {type(failure) for failure in failures}
            raise NotApplied(f"Redis: no server of the cluster answers: {why}") from (
                failures[0] if len(kinds) == 1 else None
            )
        return max(answers, key=lambda topology: (topology.epoch, len(topology.ranges)))

    def _ask(self, place: Place) -> Topology:
        pool = self._pools.get(place)
        if pool is None:
            pool = self._pools[place] = pool_of(self._servers.url_of(place), self._budgets, self._ca_file)
        questions: list[Command] = [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]
        info, slots = asked_once(pool, questions)
        facts = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        ranges, others = [], []
        for first, last, *servers in slots:
            primary, *replicas = [place_of(server[0], server[1], place.host) for server in servers]
            ranges.append((int(first), int(last), primary))
            others += replicas
        return Topology(tuple(sorted(ranges)), int(facts["cluster_current_epoch"]), tuple(dict.fromkeys(others)))

    def close(self) -> None:
        for pool in self._pools.values():
            pool.disconnect()


def place_of(host: Any, port: Any, asked: str) -> Place:
    """A server that another one names; one that does not know its own address is where it was asked."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    return Place(name if name not in {"", "?"} else asked, int(port))


def first_keys(command: Command) -> Sequence[str | bytes | int]:
    """The key that says where a command belongs, as a sequence of one; none for those without a key."""
    match command[0]:
        case "EVALSHA":
            return command[3:4]
        case "WAIT" | "SCRIPT" | "TIME" | "PING":
            return ()
        case _:
            return command[1:2]


_PAUSE = 0.05
"""Seconds between two looks at the topology."""
_REDIRECTIONS = 4
"""So often a command is sent on. A slot moves once, and the next time once more."""
_ASKING: Command = ("ASKING",)


class ClusterConnections:
    """To the servers of a cluster.

    A call's commands go in one packet to each server that they concern, in the order in which the servers come up.
    Those without a key (WAIT, SCRIPT LOAD) go to all of these; what the least of them confirmed is WAIT's answer.

    What failed is tried again by the topology that is found then, `budgets.retries` times and not after
    `budgets.deadline`: what is idempotent, and writes of which it is certain that nothing was applied. A server that
    says where a slot is now (MOVED, ASK) is followed at once.
    """

    can_fail_over = True

    def __init__(self, servers: Servers, budgets: Budgets, ca_file: Path | None = None) -> None:
        self._servers = servers
        self._budgets = budgets
        self._ca_file = ca_file
        self._discovery = ClusterDiscovery(servers, budgets, ca_file)
        self._begin()

    def _begin(self) -> None:
        self._generation = generation()
        self._finding = threading.Lock()
        self._known: dict[Place, Connections] = {}
        self._topology: Topology | None = None
        self._is_doubtful = True
        self._not_before = 0.0
        self._why: StoreUnavailable | None = None

    def everywhere(self) -> Sequence[Connections]:
        return [self._at(place) for place in self._found().primaries]

    def ask(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        attempts = self._budgets.retries
        until = time.monotonic() + self._budgets.deadline
        call = _Call(commands)
        while True:
            try:
                self._round(call, idempotent, attempts)
                if not any(is_refusal(answer) for answer in call.answers):
                    return call.answers
                failure: StoreUnavailable | None = None
            except StoreUnavailable as error:
                failure = error
            self._is_doubtful = True
            may_repeat = failure is None or idempotent or isinstance(failure, NotApplied)
            if attempts <= 0 or not may_repeat or time.monotonic() >= until or (failure and is_lasting(failure)):
                if failure is not None:
                    raise failure
                return call.answers
            if failure is None:
                call.reopen(every=idempotent)
            attempts -= 1

    def _round(self, call: _Call, idempotent: bool, attempts: int) -> None:
        """Sends what is open to whom it belongs, and after those who have moved."""
        for _ in range(_REDIRECTIONS):
            groups = call.grouped(self._found(), attempts)
            for place, positions in groups:
                answers = self._at(place).ask([call.commands[at] for at in positions], idempotent)
                has_moved = any(isinstance(answer, redis.exceptions.MovedError) for answer in answers)
                for at, answer in zip(positions, answers, strict=True):
                    if has_moved and not call.has_key(at):
                        continue  # it spoke of what is not done yet
                    if isinstance(answer, redis.exceptions.MovedError):
                        self._is_doubtful = True
                        call.moved[at] = place_of(answer.host, answer.port, place.host)
                    elif isinstance(answer, redis.exceptions.AskError):
                        there = self._at(place_of(answer.host, answer.port, place.host))
                        call.answer(at, there.ask([_ASKING, call.commands[at]], idempotent)[1])
                    else:
                        call.answer(at, answer)
            if not call.open:
                return
        raise NotApplied("Redis: the cluster sends from one server to another and back")

    def _found(self) -> Topology:
        """The topology, which one of those who ask looks at anew while the others wait for what it finds."""
        if self._generation != generation():
            self._begin()
        if self._topology is not None and not self._is_doubtful:
            return self._topology
        with self._finding:
            if time.monotonic() >= self._not_before:
                self._is_doubtful = False
                try:
                    self._topology = self._discovery.topology(self._topology)
                    self._why = None
                except StoreUnavailable as error:
                    self._is_doubtful, self._why = True, error
                self._not_before = time.monotonic() + _PAUSE
                self._retire()
            if self._topology is None or self._why is not None:
                raise NotApplied(str(self._why)) from (self._why.__cause__ if self._why else None)
            return self._topology

    def _at(self, place: Place) -> Connections:
        found = self._known.get(place)
        if found is None:
            pool = pool_of(self._servers.url_of(place), self._budgets, self._ca_file)
            found = self._known.setdefault(place, Connections(pool, self._budgets.without_retries(), looks=False))
        return found

    def _retire(self) -> None:
        """Whoever is no primary any more need not be connected to."""
        if self._topology is not None:
            for place in self._known.keys() - set(self._topology.primaries):
                self._known.pop(place).retire()

    def close(self) -> None:
        for connections in self._known.values():
            connections.close()
        self._discovery.close()


class _Call:
    """Commands, of which some may have been answered."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.answers: list[Any] = [None] * len(commands)
        self.open = set(range(len(commands)))
        self.moved: dict[int, Place] = {}
        """Where servers said that a command belongs."""
        keys = [first_keys(command) for command in commands]
        self._slots = {at: key_slot(_bytes(key[0])) for at, key in enumerate(keys) if key}

    def grouped(self, topology: Topology, attempts: int) -> list[tuple[Place, list[int]]]:
        """The open commands by server. All without a key: those of any server, another one with every attempt."""
        if not self._slots:
            primaries = topology.primaries or (topology.primary_of(0),)
            return [(primaries[attempts % len(primaries)], sorted(self.open))]
        groups: dict[Place, list[int]] = {}
        for at in sorted(self.open):
            if at in self._slots:
                place = self.moved.get(at) or topology.primary_of(self._slots[at])
                groups.setdefault(place, []).append(at)
        keyless = [at for at in range(len(self.commands)) if at not in self._slots]
        for positions in groups.values():
            positions += keyless
            positions.sort()
        self.open -= set(keyless)
        return list(groups.items())

    def has_key(self, at: int) -> bool:
        return at in self._slots

    def answer(self, at: int, answer: Any) -> None:
        if at not in self._slots and self.answers[at] is not None:
            answer = _least(self.answers[at], answer)
        self.answers[at] = answer
        self.open.discard(at)

    def reopen(self, every: bool) -> None:
        """What was refused, or `every` command where that changes nothing."""
        self.moved.clear()
        self.open = {at for at, answer in enumerate(self.answers) if every or is_refusal(answer)}
        for at in range(len(self.commands)):
            if at in self.open or not self.has_key(at):
                self.answers[at] = None


def _least(one: Any, other: Any) -> Any:
    """Of the answers of two servers to the same: an error, or the smaller number."""
    for answer in (one, other):
        if isinstance(answer, Exception):
            return answer
    return min(one, other)


def _bytes(key: str | bytes | int) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()
