"""A Redis Cluster: which server has which slots, and commands to the primary of each slot."""

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
from .address import Address, ServerList, make_pool
from .connection import Command, NotApplied, ServerConnections, generation, is_permanent, is_refusal
from .discovery import ask_once, describe, gather

_PAUSE = 0.05
"""Seconds between two lookups of the topology."""
_REDIRECTIONS = 4
"""Maximum number of redirections in one attempt: enough for a slot that moves twice meanwhile."""
_ASKING: Command = ("ASKING",)


@dataclass(frozen=True)
class Topology:
    """Slots and servers, as known in `epoch`, which grows with every failover."""

    ranges: tuple[tuple[int, int, Address], ...]
    """First slot, last slot, primary; in order."""
    epoch: int
    replicas: tuple[Address, ...] = ()
    primaries: tuple[Address, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "primaries", tuple(dict.fromkeys(primary for *_, primary in self.ranges)))

    def primary_for(self, slot: int) -> Address:
        """Return the primary of `slot`. Raises `NotApplied` where no server has the slot."""
        at = bisect_right(self.ranges, slot, key=lambda each: each[0]) - 1
        if at < 0 or self.ranges[at][1] < slot:
            raise NotApplied(f"Redis: no server of the cluster has slot {slot}")
        return self.ranges[at][2]


class ClusterDiscovery:
    """Asks all known servers at the same time, and takes the answer of the latest epoch.

    redis-py's RedisCluster has no such budget: it asks one after another, each for all its timeouts, and trusts the
    first.
    """

    def __init__(self, servers: ServerList, budgets: Budgets, ca_file: Path | None) -> None:
        self._servers = servers
        self._budgets = budgets
        self._ca_file = ca_file
        self._pools: dict[Address, redis.ConnectionPool] = {}
        self._seconds = budgets.connect_timeout + budgets.read_timeout

    def topology(self, known: Topology | None) -> Topology:
        """Ask the servers of the URL and those of `known`. Raises `NotApplied` where none answers."""
        addresses = dict.fromkeys(self._servers.addresses)
        if known is not None:
            addresses |= dict.fromkeys((*known.primaries, *known.replicas))
        answers, failures = gather([partial(self._ask, address) for address in addresses], self._seconds)
        if not answers:
            why, cause = describe(failures)
            raise NotApplied(f"Redis: no server of the cluster answers: {why}") from cause
        return max(answers, key=lambda topology: (topology.epoch, len(topology.ranges)))

    def _ask(self, address: Address) -> Topology:
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = make_pool(self._servers.server_url(address), self._budgets, self._ca_file)
        questions: list[Command] = [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]
        info, slots = ask_once(pool, questions)
        facts = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        ranges, replicas = [], []
        for first, last, *servers in slots:
            primary, *others = [to_address(server[0], server[1], address.host) for server in servers]
            ranges.append((int(first), int(last), primary))
            replicas += others
        return Topology(tuple(sorted(ranges)), int(facts["cluster_current_epoch"]), tuple(dict.fromkeys(replicas)))

    def close(self) -> None:
        for pool in self._pools.values():
            pool.disconnect()


def to_address(host: Any, port: Any, asked: str) -> Address:
    """Return the address that a server named; `asked` is the host where it does not know its own."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    return Address(name if name not in {"", "?"} else asked, int(port))


def first_key(command: Command) -> Sequence[str | bytes | int]:
    """Return the key that decides the slot, as a sequence of one; an empty one for a command without a key."""
    match command[0]:
        case "EVALSHA":
            return command[3:4]
        case "WAIT" | "SCRIPT" | "TIME" | "PING":
            return ()
        case _:
            return command[1:2]


class ClusterConnections:
    """Connections to the servers of a Redis Cluster.

    The commands of a call go in one packet to each server whose slots they concern, one server after another. Commands
    without a key (WAIT, SCRIPT LOAD) go to all of these servers; the lowest number is the reply to WAIT.

    MOVED and ASK are followed at once. After a failure the topology is looked up again, and idempotent commands are
    sent again, and writes that were certainly not applied: `budgets.retries` times, and not after `budgets.deadline`.
    """

    can_fail_over = True

    def __init__(self, servers: ServerList, budgets: Budgets, ca_file: Path | None = None) -> None:
        self._servers = servers
        self._budgets = budgets
        self._ca_file = ca_file
        self._discovery = ClusterDiscovery(servers, budgets, ca_file)
        self._reset()

    def _reset(self) -> None:
        self._generation = generation()
        self._searching = threading.Lock()
        self._known: dict[Address, ServerConnections] = {}
        self._topology: Topology | None = None
        self._is_doubtful = True
        self._not_before = 0.0
        self._failure: StoreUnavailable | None = None

    def partitions(self) -> Sequence[ServerConnections]:
        return [self._at(address) for address in self._current_topology().primaries]

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        attempts = self._budgets.retries
        until = time.monotonic() + self._budgets.deadline
        call = _Call(commands)
        while True:
            try:
                self._attempt(call, idempotent, attempts)
                if not any(is_refusal(reply) for reply in call.replies):
                    return call.replies
                failure: StoreUnavailable | None = None
            except StoreUnavailable as error:
                failure = error
            self._is_doubtful = True
            may_repeat = failure is None or idempotent or isinstance(failure, NotApplied)
            if attempts <= 0 or not may_repeat or time.monotonic() >= until or (failure and is_permanent(failure)):
                if failure is not None:
                    raise failure
                return call.replies
            if failure is None:
                call.reopen(every=idempotent)
            attempts -= 1

    def _attempt(self, call: _Call, idempotent: bool, attempts: int) -> None:
        """Send the open commands to the primaries of their slots, and follow redirections."""
        for _ in range(_REDIRECTIONS):
            for address, positions in call.group(self._current_topology(), attempts):
                replies = self._at(address).execute([call.commands[at] for at in positions], idempotent)
                has_moved = any(isinstance(reply, redis.exceptions.MovedError) for reply in replies)
                for at, reply in zip(positions, replies, strict=True):
                    if has_moved and not call.has_key(at):
                        continue  # its write has not been applied
                    if isinstance(reply, redis.exceptions.MovedError):
                        self._is_doubtful = True
                        call.moved[at] = to_address(reply.host, reply.port, address.host)
                    elif isinstance(reply, redis.exceptions.AskError):
                        other = self._at(to_address(reply.host, reply.port, address.host))
                        call.add(at, other.execute([_ASKING, call.commands[at]], idempotent)[1])
                    else:
                        call.add(at, reply)
            if not call.open:
                return
        raise NotApplied("Redis: the servers of the cluster redirect to each other")

    def _current_topology(self) -> Topology:
        """Return the topology. Where it is in doubt one request looks it up, and the others wait for the result."""
        if self._generation != generation():
            self._reset()
        if self._topology is not None and not self._is_doubtful:
            return self._topology
        with self._searching:
            if time.monotonic() >= self._not_before:
                self._is_doubtful = False
                try:
                    self._topology = self._discovery.topology(self._topology)
                    self._failure = None
                except StoreUnavailable as error:
                    self._is_doubtful, self._failure = True, error
                self._not_before = time.monotonic() + _PAUSE
                self._retire()
            if self._topology is None or self._failure is not None:
                raise NotApplied(str(self._failure)) from (self._failure.__cause__ if self._failure else None)
            return self._topology

    def _at(self, address: Address) -> ServerConnections:
        connections = self._known.get(address)
        if connections is None:
            pool = make_pool(self._servers.server_url(address), self._budgets, self._ca_file)
            made = ServerConnections(pool, self._budgets.without_retries(), check_role=False)
            connections = self._known.setdefault(address, made)
        return connections

    def _retire(self) -> None:
        """Close the connections to servers that are no longer primaries."""
        if self._topology is not None:
            for address in self._known.keys() - set(self._topology.primaries):
                self._known.pop(address).retire()

    def close(self) -> None:
        for connections in self._known.values():
            connections.close()
        self._discovery.close()


class _Call:
    """Commands, some of which may have replies."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.replies: list[Any] = [None] * len(commands)
        self.open = set(range(len(commands)))
        self.moved: dict[int, Address] = {}
        """The servers to which commands were redirected."""
        keys = [first_key(command) for command in commands]
        self._slots = {at: key_slot(_to_bytes(key[0])) for at, key in enumerate(keys) if key}

    def group(self, topology: Topology, attempts: int) -> list[tuple[Address, list[int]]]:
        """Return the open commands by server. Where none has a key, each attempt takes another server."""
        if not self._slots:
            primaries = topology.primaries or (topology.primary_for(0),)
            return [(primaries[attempts % len(primaries)], sorted(self.open))]
        groups: dict[Address, list[int]] = {}
        for at in sorted(self.open):
            if at in self._slots:
                address = self.moved.get(at) or topology.primary_for(self._slots[at])
                groups.setdefault(address, []).append(at)
        keyless = [at for at in range(len(self.commands)) if at not in self._slots]
        for positions in groups.values():
            positions += keyless
            positions.sort()
        self.open -= set(keyless)
        return list(groups.items())

    def has_key(self, at: int) -> bool:
        return at in self._slots

    def add(self, at: int, reply: Any) -> None:
        if at not in self._slots and self.replies[at] is not None:
            reply = _lowest(self.replies[at], reply)
        self.replies[at] = reply
        self.open.discard(at)

    def reopen(self, every: bool) -> None:
        """Open the commands that were refused, or all commands."""
        self.moved.clear()
        self.open = {at for at, reply in enumerate(self.replies) if every or is_refusal(reply)}
        for at in range(len(self.commands)):
            if at in self.open or not self.has_key(at):
                self.replies[at] = None


def _lowest(one: Any, other: Any) -> Any:
    """Return the reply of two servers that counts: an error, or else the lower number."""
    for reply in (one, other):
        if isinstance(reply, Exception):
            return reply
    return min(one, other)


def _to_bytes(key: str | bytes | int) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()
