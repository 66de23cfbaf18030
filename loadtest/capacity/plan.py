"""The plan: from the service demands of a machine to nodes, cores, shards, memory and network.

The utilisation law, U = X D: a resource that serves X requests a second, each for D seconds of its time, is busy for
the share U. D is the CPU time of a request, measured. Throughput is not fitted against users or nodes: on a machine
whose cores the load generator, the proxy, the nodes and the store share, such a fit describes the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from loadtest.capacity.figures import MachineFigures, Part, RequestKind
from nodes.sessions import Budgets

HERE = "measured here, now"
BUSY = 0.6
"""The most that a core is busy at the peak with a zone lost. Above it the time of an answer grows fast: with random
arrivals it is 1 / (1 - U) of that of an idle server, 2.5 times at 0.6 and 10 times at 0.9."""
RESERVED = 0.25
"""Memory of a store's machine that data must not use: Amazon ElastiCache's reserved-memory-percent."""
BUFFER_HARD, BUFFER_SOFT, BUFFER_SECONDS = 256e6, 64e6, 60.0
"""redis.conf's client-output-buffer-limit replica, 256mb 64mb 60: a primary drops a replica for which it has buffered
more than the first, or more than the second for this long. It buffers what is written while a replica copies it."""
TOKEN_SECONDS = 30
"""How long the token of a write stays (docs/redis.md, "Writes that are repeated")."""
MAX_CLIENTS = 10_000
"""redis.conf's maxclients."""
MOST_SERVERS = 1000
"""The most servers that the Redis Cluster specification recommends for a cluster."""
FEWEST_PRIMARIES = 3
"""A Redis Cluster elects a replica by a majority of its primaries."""
CORES_OF_A_SERVER = 2
"""One for commands, which Redis carries out on one core, and one for the process that writes a snapshot."""
LINK = 10e9 / 8
"""Bytes a second of the network of a store's machine: 10 Gbit/s."""


@dataclass(frozen=True, kw_only=True)
class ExpectedLoad:
    """The load of the cluster at its busiest time. Times are in seconds, `rate` is requests a second for each active
    user."""

    sessions: int
    active: int
    rate: float
    writes: float = 0.25
    """The share of requests that write their session; a touch of the idle timeout is a write."""
    stay: float = 30 * 86_400.0
    """How long a session is stored, on average. Each begins with a login."""
    zones: int = 3
    node_cores: int = 4
    """Cores of a node, which has as many workers, and of a proxy."""
    primary_memory: float = 16e9
    """Bytes of memory of a machine of the store."""
    replicas: int = 2

    @property
    def requests(self) -> float:
        """Requests a second, without logins."""
        return self.active * self.rate

    @property
    def logins(self) -> float:
        """Logins a second, by Little's law: sessions = logins x the time that each stays."""
        return self.sessions / self.stay

    @property
    def rates(self) -> Mapping[RequestKind, float]:
        """Requests a second of each kind."""
        return {
            RequestKind.READ: self.requests * (1 - self.writes),
            RequestKind.WRITE: self.requests * self.writes,
            RequestKind.LOGIN: self.logins,
        }


@dataclass(frozen=True)
class Limit:
    """The capacity of a resource: sessions, with active users in proportion."""

    name: str
    sessions: float


class CapacityPlan:
    """The resources for a workload, on machines as the measured one."""

    def __init__(self, workload: ExpectedLoad, figures: MachineFigures, store: str, source: str = HERE) -> None:
        self.workload = workload
        self.figures = figures
        self.store = store
        self.source = source
        """Where and when the figures were measured."""

    @property
    def has_shards(self) -> bool:
        """Whether the store can have several primaries."""
        return self.store == "redis-cluster"

    # ---- CPU

    def busy_cores(self, part: Part) -> float:
        """Return how many cores are busy: the sum of X D over all kinds of requests."""
        return self._sum(lambda kind: self.figures.demand(part, kind))

    def units(self, part: Part) -> int:
        """Return the number of nodes or proxies, in all zones: the zones that are left carry the peak."""
        zones = self.workload.zones
        needed = self.busy_cores(part) / (BUSY * self.workload.node_cores)
        return zones * max(1, math.ceil(needed / (zones - 1) - 1e-9))

    def cores(self, part: Part) -> int:
        return self.units(part) * self.workload.node_cores

    def usual_share(self, part: Part) -> float:
        """Return how busy the cores are with all zones."""
        return self.busy_cores(part) / self.cores(part)

    @property
    def proxy_requests(self) -> float:
        """Requests a second that one core of a proxy carries, at `BUSY`, of this mix."""
        rates = self.workload.rates
        return BUSY * sum(rates.values()) / self.busy_cores(Part.PROXY)

    @property
    def node_memory(self) -> float:
        """Bytes of the workers of a node."""
        return self.workload.node_cores * self.figures.worker_bytes

    # ---- the store

    @property
    def tokens(self) -> float:
        """Tokens of writes that are stored at one time."""
        has_tokens = self.figures.token_bytes > 0
        return self.workload.rates[RequestKind.WRITE] * TOKEN_SECONDS if has_tokens else 0.0

    @property
    def data(self) -> float:
        """Bytes of memory of one copy of all sessions, in all primaries."""
        return self.workload.sessions * self.figures.session_bytes + self.tokens * self.figures.token_bytes

    @property
    def resident(self) -> float:
        """Bytes of one copy as the operating system counts them."""
        return self.data * self.figures.resident_bytes / self.figures.session_bytes

    @property
    def replicated(self) -> float:
        """Bytes a second that all primaries send to each of their replicas."""
        return self._sum(lambda kind: self.figures.traffic[kind].replication)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of one primary, the lowest first."""
        sessions, figures = self.workload.sessions, self.figures
        if figures.writer_seconds is not None:
            busy = (self.workload.rates[RequestKind.WRITE] + self.workload.logins) * figures.writer_seconds.value
            cores = self.busy_cores(Part.NODE) + self.busy_cores(Part.PROXY)
            found = [
                Limit("one writer at a time", sessions * BUSY / busy),
                Limit(f"the {figures.cores} cores of this machine", sessions * BUSY * figures.cores / cores),
            ]
        else:
            found = [
                Limit("memory", sessions * self.workload.primary_memory * (1 - RESERVED) / self.resident),
                Limit("CPU", sessions * BUSY / self.busy_cores(Part.STORE)),
                Limit("network", sessions * BUSY * LINK / self._sent_by_primaries),
            ]
        if figures.resync_seconds is not None and self.workload.replicas:
            found.append(Limit("buffer for a replica", self._buffered_sessions(figures.resync_seconds.value)))
        return tuple(sorted((one for one in found if one.sessions < math.inf), key=lambda limit: limit.sessions))

    @property
    def needed_primaries(self) -> int:
        """The number of primaries that carry the workload."""
        return max(1, math.ceil(self.workload.sessions / self.limits[0].sessions - 1e-9))

    @property
    def primaries(self) -> int:
        """The number of primaries of the store: one where it can't have several."""
        return max(FEWEST_PRIMARIES, self.needed_primaries) if self.has_shards else 1

    @property
    def carries(self) -> bool:
        """Whether this kind of store carries the workload."""
        return self.needed_primaries <= self.primaries and not (self.has_shards and self.servers > MOST_SERVERS)

    @property
    def is_one_machine(self) -> bool:
        """Whether the nodes share a file, and so one machine."""
        return self.figures.writer_seconds is not None

    @property
    def servers(self) -> int:
        """The number of primaries and replicas."""
        return self.primaries * (1 + self.workload.replicas)

    @property
    def resync(self) -> float | None:
        """Seconds in which a replica copies its primary."""
        each = self.figures.resync_seconds
        return None if each is None else self.data / self.primaries / 1e9 * each.value

    @property
    def connections(self) -> int:
        """The most connections to one primary: all workers have as many as they may, as when it stalls."""
        return self.units(Part.NODE) * self.workload.node_cores * Budgets().max_connections

    # ---- network, in bytes a second

    @property
    def client_traffic(self) -> float:
        return self._sum(lambda kind: self.figures.traffic[kind].client)

    @property
    def store_traffic(self) -> float:
        return self._sum(lambda kind: self.figures.traffic[kind].store)

    @property
    def _sent_by_primaries(self) -> float:
        return self.store_traffic + self.replicated * self.workload.replicas

    def _sum(self, of: Callable[[RequestKind], float]) -> float:
        return sum(rate * of(kind) for kind, rate in self.workload.rates.items())

    def _buffered_sessions(self, resync: float) -> float:
        """Return the sessions of a primary that can still be copied while it is written to.

        With a share s of the sessions it is copied in s T and written to at s W, so s^2 W T is buffered then.
        """
        time, rate = self.data / 1e9 * resync, self.replicated
        if time * rate == 0:
            return math.inf
        hard = math.sqrt(BUFFER_HARD / (rate * time))
        # Above the soft limit for 60 s: s T - SOFT / (s W) = 60, solved for s.
        soft = (BUFFER_SECONDS + math.sqrt(BUFFER_SECONDS**2 + 4 * time * BUFFER_SOFT / rate)) / (2 * time)
        return self.workload.sessions * min(hard, soft)
