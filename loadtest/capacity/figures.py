"""The figures of a machine: the service demands of a request, the bytes of a session, and their spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from loadtest.bench.measure import half_range


class RequestKind(StrEnum):
    """A kind of request."""

    READ = "read"
    """GET /me: the session is read."""
    WRITE = "write"
    """POST /visits: the session is read, and one field written by compare-and-set."""
    LOGIN = "login"
    """POST /login: the password is checked with Argon2id, and a session begins."""


class Part(StrEnum):
    """A part of the cluster that spends CPU time."""

    PROXY = "proxy"
    NODE = "node"
    STORE = "store"
    """The primaries of the store."""


FEWEST_SESSIONS: Mapping[str, int] = {"redis": 8_000, "redis-cluster": 100_000, "sql": 8_000}
"""The fewest sessions, by store, whose memory tells that of many. In a Redis Cluster each of the 16,384 slots has
tables of its own, and with few sessions in each their memory is most of a session's."""


@dataclass(frozen=True)
class Figure:
    """Samples of one quantity."""

    samples: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def spread(self) -> float:
        """Half of the range."""
        return half_range(self.samples)


@dataclass(frozen=True)
class Traffic:
    """Bytes of a request on each way."""

    client: float
    """Request and answer, between the client and the proxy."""
    store: float
    """Commands and replies, between the node and the store."""
    replication: float
    """From a primary to each replica."""


@dataclass(frozen=True, kw_only=True)
class MachineFigures:
    """The figures of one machine. CPU in microseconds of one core for each request, without what the processes spend
    when idle."""

    demands: Mapping[Part, Mapping[RequestKind, Figure]]
    traffic: Mapping[RequestKind, Traffic]
    session_bytes: float
    """Memory of the server for each session, its user's index included; with SQL bytes of the database."""
    index_bytes: float
    """The part of it that is the index of a user with one session."""
    resident_bytes: float
    """Resident memory of the server's process for each session; with SQL as `session_bytes`."""
    token_bytes: float
    """Memory of the token that a write leaves for 30 s; 0 where writes carry none."""
    worker_bytes: float
    """Unshared memory of a worker of a node."""
    resync_seconds: Figure | None
    """Seconds for each GB (10^9 bytes of memory) of a primary that a replica copies; None without replicas."""
    writer_seconds: Figure | None
    """Seconds for which a write holds the database, of a store with one writer at a time; else None."""
    data_bytes: int
    """Bytes of application data in a session."""
    fitted: tuple[int, int]
    """The numbers of sessions between which bytes were measured."""
    sessions: int
    """The number of sessions under load."""
    cores: int
    """Cores of this machine."""
    foreign_share: float
    """Share of them that other programs used while CPU times were measured."""
    versions: Mapping[str, str]

    def demand(self, part: Part, kind: RequestKind) -> float:
        """Return the CPU seconds of one core that a request takes."""
        return self.demands[part][kind].value / 1e6
