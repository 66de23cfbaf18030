"""A Redis Cluster: which server has which slots, and commands to the primary of each slot.

redis-py's `RedisCluster` has connections without a deadline for an exchange and without a check of whose answer it is:
docs/redis.md.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.crc import key_slot

from .address import Address, to_address
from .connection import Command, NotApplied, ServerConnections
from .failover import PAUSE, Call, FailoverConnections

_REDIRECTIONS = 4
"""Maximum number of redirections in one attempt: enough for a slot that moves twice meanwhile."""
_SLOTS = 16384
_MAX_SERVERS = 1000
"""Redis's own limit. Each server is asked in a thread of its own."""
_ASKING: Command = ("ASKING",)


@dataclass(frozen=True)
class Topology:
    """Slots and servers, as known in `epoch`, which grows with every failover."""

    ranges: tuple[tuple[int, int, Address], ...]
    """First slot, last slot, primary; in order."""
    epoch: int
    replicas: tuple[Address, ...]

    @classmethod
    def parse(cls, asked: Address, replies: list[Any]) -> Topology:
        """Parse the replies of the server `asked` to CLUSTER INFO and CLUSTER SLOTS."""
        info, slots = replies
        facts = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        ranges, replicas = [], []
        for first, last, *servers in slots:
            primary, *others = [_to_address(server[0], server[1], asked) for server in servers]
            ranges.append((int(first), int(last), primary))
            replicas += others
        if len(slots) > _SLOTS or len({*replicas, *(primary for *_, primary in ranges)}) > _MAX_SERVERS:
            raise ValueError(f"more than {_MAX_SERVERS} servers")
        return cls(tuple(sorted(ranges)), int(facts["cluster_current_epoch"]), tuple(replicas))

    @property
    def primaries(self) -> list[Address]:
        return list(dict.fromkeys(primary for *_, primary in self.ranges))

    def primary_for(self, slot: int) -> Address:
        """Return the primary of `slot`. Raises `NotApplied` where no server has the slot."""
        at = bisect_right(self.ranges, slot, key=lambda each: each[0]) - 1
        if at < 0 or self.ranges[at][1] < slot:
            raise NotApplied(f"Redis: no server of the cluster has slot {slot}")
        return self.ranges[at][2]


class ClusterConnections(FailoverConnections[Topology]):
    """Connections to the servers of a Redis Cluster.

    The commands of a call go in one packet to each server whose slots they concern, one server after another. Commands
    without a key (WAIT, SCRIPT LOAD) go to all of these servers; the lowest number is the reply to WAIT. MOVED and ASK
    are followed at once.
    """

    def partitions(self) -> Sequence[ServerConnections]:
        return [self._at(address) for address in self._current().primaries]

    def _send(self, call: Call) -> None:
        try:
            self._follow(call)
        finally:
            if call.open:
                self._is_doubtful = True

    def _follow(self, call: Call) -> None:
        """Send the open commands to the primaries of their slots, and follow redirections."""
        slots = {at: slot for at, command in enumerate(call.commands) if (slot := _find_slot(command)) is not None}
        if not slots:
            primaries = self._current().primaries or [self._current().primary_for(0)]
            call.send_open(self._at(primaries[call.attempts % len(primaries)]).execute)
            return
        keyless = set(range(len(call.commands))) - slots.keys()
        unsent = call.open & slots.keys()
        moved: dict[int, Address] = {}
        for _ in range(_REDIRECTIONS):
            topology = self._current()
            groups: dict[Address, set[int]] = {}
            for at in sorted(unsent):  # the index of a user before the session
                address = moved.get(at) or topology.primary_for(slots[at])
                groups.setdefault(address, set(keyless)).add(at)
            for address, group in groups.items():
                positions = sorted(group)
                replies = self._at(address).execute([call.commands[at] for at in positions], call.idempotent)
                has_moved = any(isinstance(reply, redis.exceptions.MovedError) for reply in replies)
                for at, reply in zip(positions, replies, strict=True):
                    if isinstance(reply, redis.exceptions.MovedError):
                        self._is_doubtful = True
                        moved[at] = _to_address(reply.host, reply.port, address)
                        continue
                    if at in keyless:
                        if has_moved:  # its write has not been applied
                            continue
                        reply = _lowest(call.replies[at], reply)
                    elif isinstance(reply, redis.exceptions.AskError):
                        other = self._at(_to_address(reply.host, reply.port, address))
                        reply = other.execute([_ASKING, call.commands[at]], call.idempotent)[1]
                    call.add([at], [reply])
                    unsent.discard(at)
            if not unsent:
                return
        raise NotApplied("Redis: the servers of the cluster redirect to each other")

    def _search(self) -> Topology:
        """Ask the servers of the URL and those known from before, and return the answer of the latest epoch."""
        addresses = list(self._servers.addresses)
        if self._found is not None:
            addresses += (*self._found.primaries, *self._found.replicas)
        urls = {address: self._servers.server_url(address) for address in addresses}
        commands: list[Command] = [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]
        answers = self._ask_all(urls, commands, Topology.parse, "no server of the cluster answers")
        latest = max(answers, key=lambda topology: (topology.epoch, len(topology.ranges)))
        self._retire_all_but(latest.primaries)
        # While a primary is missing, each request for its slots wants another search.
        self._not_before = time.monotonic() + PAUSE
        return latest


def _find_slot(command: Command) -> int | None:
    """Return the slot of the command's first key; None for a command without a key."""
    match command[0]:
        case "WAIT" | "SCRIPT" | "TIME" | "PING":
            return None
        case "EVALSHA":
            key = command[3]
        case _:
            key = command[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _to_address(host: Any, port: Any, asked: Address) -> Address:
    """Return the address that a server named; that of `asked` where it does not know its own host.

    Raises `NotApplied` for nonsense.
    """
    try:
        return to_address(asked.host if host in {None, "", "?", b"", b"?"} else host, port)
    except (TypeError, ValueError) as error:
        raise NotApplied(f"Redis: {error}") from error


def _lowest(one: Any, other: Any) -> Any:
    """Return the reply of two servers that counts: an error, or else the lower number. `one` may be missing."""
    if one is None or isinstance(other, Exception):
        return other
    return one if isinstance(one, Exception) else min(one, other)
