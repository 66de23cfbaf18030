"""Which server of a Redis Cluster has which slots."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from ..budgets import Budgets
from .redis_connection import Command
from .redis_gather import asked_once, gather
from .redis_refusal import NotApplied
from .redis_servers import Place, Servers
from .redis_url import pool_of


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
