"""What a cluster is to be: how many nodes, which store, how the proxy chooses; checked before anything starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self, TypeVar

from nodes.sessions import Durability, Outage
from proxy import Balance, ProxySettings, ProxySettingsError
from proxy.settings import did_you_mean

MOST_NODES = 100
MOST_WORKERS = 32
DURABLE_REPLICAS = 1
"""How many replicas must have a write that `durability` waits for: of two, one may be down."""
_USER = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


class ClusterError(Exception):
    """A cluster cannot be started or changed as asked. The message is one line: cause, value, fix."""


class StoreKind(StrEnum):
    """Where the nodes keep sessions."""

    MEMORY = "memory"
    """In each worker's own memory: whatever serves the next request may not know the session."""
    FILE = "file"
    """In files of one folder that all nodes share."""
    SQL = "sql"
    """In one SQL database that all nodes share: of local processes SQLite, of containers also MySQL and PostgreSQL."""
    REDIS = "redis"
    """In one Redis or Valkey that all nodes share."""
    REDIS_HA = "redis-ha"
    """The same, highly available: a primary, two replicas, and three Sentinels that make one of them the next."""
    REDIS_CLUSTER = "redis-cluster"
    """In a Redis Cluster: three primaries that share the sessions, each with a replica."""
    EXPRESS = "express"
    """The same, in the format of express-session, so that a Node application can share them."""

    @property
    def needs_redis(self) -> bool:
        """Whether a Redis or Valkey belongs to the cluster."""
        return self in {StoreKind.REDIS, StoreKind.EXPRESS} or self.has_several_servers

    @property
    def has_several_servers(self) -> bool:
        """Whether the store can fail over."""
        return self in {StoreKind.REDIS_HA, StoreKind.REDIS_CLUSTER}

    @classmethod
    def parse(cls, text: str) -> Self:
        """The store of this name. Raises ClusterError with the nearest name."""
        return _parse(cls, "store", text)


class Database(StrEnum):
    """Which one StoreKind.SQL uses."""

    SQLITE = "sqlite"
    """In a file that all nodes of one machine share."""
    MYSQL = "mysql"
    """MySQL or MariaDB; in containers only."""
    POSTGRES = "postgres"
    """PostgreSQL; in containers only."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The database of this name. Raises ClusterError with the nearest name."""
        return _parse(cls, "database", text)


class RedisMode(StrEnum):
    """Which Redis the nodes use in containers, with StoreKind.REDIS."""

    STANDALONE = "standalone"
    """One server."""
    SENTINEL = "sentinel"
    """What StoreKind.REDIS_HA is."""
    CLUSTER = "cluster"
    """What StoreKind.REDIS_CLUSTER is."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The mode of this name. Raises ClusterError with the nearest name."""
        return _parse(cls, "Redis mode", text)

    @classmethod
    def from_store(cls, store: StoreKind) -> "RedisMode":
        """Return the mode that a store needs."""
        return {StoreKind.REDIS_HA: cls.SENTINEL, StoreKind.REDIS_CLUSTER: cls.CLUSTER}.get(store, cls.STANDALONE)


class Discovery(StrEnum):
    """How the proxy of a cluster of containers knows where the nodes are."""

    LIST = "list"
    """By a list that the cluster keeps, and renews with each change."""
    DNS = "dns"
    """By Docker's DNS, which it asks again and again, as compose.yaml by itself has it. Nodes can't be drained then."""


_Kind = TypeVar("_Kind", bound=StrEnum)


def _parse(kind: type[_Kind], what: str, text: str) -> _Kind:
    try:
        return kind(text)
    except ValueError:
        raise ClusterError(f"unknown {what} {text!r}: {did_you_mean(text, kind)}") from None


class NodeKind(StrEnum):
    """The application that the nodes run; all of them speak the HTTP interface of the README."""

    FLASK = "flask"
    """`nodes`: Flask with `nodes.sessions`."""
    EXPRESS = "express"
    """Express with express-session and connect-redis."""
    FLASK_SESSION = "flask-session"
    """Flask with Flask-Session."""

    @property
    def stores(self) -> tuple[StoreKind, ...]:
        """Where nodes of this kind can keep sessions."""
        if self is NodeKind.FLASK:
            return tuple(StoreKind)
        return StoreKind.MEMORY, StoreKind.REDIS, StoreKind.REDIS_HA

    @classmethod
    def parse(cls, text: str) -> Self:
        """The kind of this name. Raises ClusterError with the nearest name."""
        return _parse(cls, "kind of node", text)


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Raises ClusterError for the first value that cannot be used. Times are in seconds.

    What speaks of replicas is for stores of several servers; the others have none.
    """

    min_replicas_to_write: int | None = None
    """With fewer replicas in touch a primary refuses writes: the guard against what is lost when one that was cut off
    goes on writing. 0: no guard. None: 1 where a primary has two replicas; 0 in a Redis Cluster, where it has one, so
    that the guard would refuse all writes from a failover until the old primary is back."""
    max_lag: int = 2
    """How long ago a replica may have been heard of (whole seconds) to count as in touch; it speaks once a second."""
    down_after: float = 1.0
    """How long a server may be silent until the others look for another primary (down-after-milliseconds of the
    Sentinels, cluster-node-timeout of a Redis Cluster)."""
    durability: Durability = Durability.PRIMARY
    """What the nodes wait for before a write counts."""
    outage: Outage = Outage.FAIL_FAST
    """What the nodes do while there is no primary."""
    append_only: bool = False
    """Whether each server writes a log of all writes to disk every second, and has them again after a restart."""
    max_memory: str = "256mb"
    """When a server is full: it refuses writes then."""

    def __post_init__(self) -> None:
        if self.min_replicas_to_write is not None and not 0 <= self.min_replicas_to_write <= 2:
            raise ClusterError(f"min_replicas_to_write must be between 0 and 2, not {self.min_replicas_to_write}")
        if not 1 <= self.max_lag <= 3600:
            raise ClusterError(f"max_lag must be between 1 and 3600 s, not {self.max_lag}")
        if not 0.2 <= self.down_after <= 3600:
            raise ClusterError(f"down_after must be between 0.2 and 3600 s, not {self.down_after:g}")

    def required_replicas(self, replicas: int) -> int:
        """Return how many of its `replicas` a primary must be connected to in order to accept writes."""
        if self.min_replicas_to_write is None:
            return 1 if replicas > 1 else 0
        return self.min_replicas_to_write

    def node_environment(self, has_replicas: bool) -> dict[str, str]:
        """What the nodes are told of it."""
        told = {"STORE_OUTAGE": self.outage.value}
        if has_replicas:
            told |= {"STORE_DURABILITY": self.durability.value, "STORE_REPLICAS": str(DURABLE_REPLICAS)}
        return told


def parse_balance(text: str) -> Balance:
    """The balancing policy of this name. Raises ClusterError with the nearest name."""
    try:
        return Balance.parse(text)
    except ProxySettingsError as error:
        raise ClusterError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """Raises ClusterError for the first value that cannot be used. Times are in seconds."""

    nodes: int = 3
    workers: int = 1
    """Processes of each node. With StoreKind.MEMORY each of them has sessions of its own."""
    node: NodeKind = NodeKind.FLASK
    store: StoreKind = StoreKind.MEMORY
    database: Database = Database.SQLITE
    """Of StoreKind.SQL. The other two are for containers."""
    balance: Balance = Balance.ROUND_ROBIN
    discovery: Discovery = Discovery.LIST
    """The other one is for containers."""
    port: int = 0
    """Where the proxy listens on 127.0.0.1; 0 takes a free one."""
    tls: bool = False
    """Whether the proxy speaks TLS there, with a certificate of an authority that is made for this cluster."""
    users: tuple[str, ...] = ("alice", "bob", "carol")
    """Who can log in; they share one random password."""
    node_settings: Mapping[str, str] = field(default_factory=dict)
    """More environment for the nodes, such as SESSION_IDLE_TIMEOUT; see `nodes.settings`."""
    store_settings: StoreSettings = field(default_factory=StoreSettings)
    """How a Redis or Valkey is run, and what the nodes ask of it."""
    store_proxy: bool = False
    """Whether the nodes reach the store, which has to be one server, through a `deploy.FaultProxy`."""
    proxy: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `proxy.ProxySettings` that are to differ from its defaults, such as read_timeout."""
    start_timeout: float = 60.0
    """How long all of it, or a node that is added or restarted, may take until it is ready."""
    drain_timeout: float = 10.0
    """How long the proxy may finish requests on a node that leaves, and then the node itself."""

    @property
    def session_cookie(self) -> str:
        """The name of the nodes' cookie, which Balance.HASH goes by."""
        is_express = self.store is StoreKind.EXPRESS or self.node is NodeKind.EXPRESS
        default = "connect.sid" if is_express else "session"
        return self.node_settings.get("SESSION_NAME", default)

    @property
    def proxy_settings(self) -> Mapping[str, Any]:
        """Fields of `proxy.ProxySettings` that differ from its defaults: `proxy`, and what the nodes need."""
        # A read that is held until there is a primary must not be taken for one that a silent node has.
        held = {"get_timeout": ProxySettings.read_timeout} if self.store_settings.outage is Outage.WAIT else {}
        return {**held, **self.proxy}

    @property
    def has_single_server(self) -> bool:
        """Whether the store is one server, which nothing stands in for."""
        if self.store is StoreKind.SQL:
            return self.database is not Database.SQLITE
        return self.store.needs_redis and not self.store.has_several_servers

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ClusterError(f"workers must be between 1 and {MOST_WORKERS}, not {self.workers}")
        if self.database is not Database.SQLITE and self.store is not StoreKind.SQL:
            raise ClusterError(f"database {self.database} is for store sql, not for {self.store}: leave it out")
        if self.node is NodeKind.EXPRESS and self.workers > 1:
            raise ClusterError(
                f"workers must be 1 for express nodes, which are one process, not {self.workers}; add nodes instead"
            )
        if self.store not in self.node.stores:
            stores = ", ".join(self.node.stores)
            raise ClusterError(f"{self.node} nodes cannot keep sessions in {self.store}: choose one of {stores}")
        if not 0 <= self.port <= 65535:
            raise ClusterError(f"port must be between 0 (a free one) and 65535, not {self.port}")
        if not self.users:
            raise ClusterError("users must not be empty: at least one has to log in")
        for name in self.users:
            if not _USER.fullmatch(name):
                raise ClusterError(f"user must be a lower-case letter, then letters, digits, '_' or '-', not {name!r}")
        for name in self.node_settings:
            if not _VARIABLE.fullmatch(name):
                raise ClusterError(f"node setting must be a variable in capitals, not {name!r}")
        if self.store_proxy and not self.has_single_server:
            raise ClusterError(f"store {self.store} has no single server that a proxy could stand before")
        unknown = set(self.proxy) - {each.name for each in fields(ProxySettings)}
        if unknown:
            raise ClusterError(f"{sorted(unknown)[0]!r} is not a setting of the proxy: see proxy.ProxySettings")
        for what in ("start_timeout", "drain_timeout"):
            if not 0 < getattr(self, what) <= 3600:
                raise ClusterError(f"{what} must be above 0 s and at most 3600 s, not {getattr(self, what):g} s")


def check_nodes(nodes: int) -> None:
    """Raises ClusterError for a number of nodes that no cluster here can have."""
    if not 1 <= nodes <= MOST_NODES:
        raise ClusterError(f"nodes must be between 1 and {MOST_NODES}, not {nodes:,}")
