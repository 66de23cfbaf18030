"""The description of a cluster: its nodes, its store, its balancing policy. Checked before anything starts."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from nodes.sessions import Durability, Lifetime, Outage
from nodes.settings import Settings
from proxy import Balance, ProxySettings, ProxySettingsError
from proxy.settings import did_you_mean

MOST_NODES = 100
MOST_WORKERS = 32
DURABLE_REPLICAS = 1
"""Number of replicas that `durability` waits for: of two, one may be down."""
ONE_ADDRESS = {"SESSION_ANONYMOUS_RATE": "0"}
"""Settings of nodes whose clients all have one address, as those of a load test."""
_USER = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,40}", re.ASCII)
_SIZE = re.compile(r"[1-9][0-9]{0,5}[km]", re.ASCII)


class ClusterError(Exception):
    """A cluster cannot be started or changed as asked. The message is one line: cause, value, fix."""


class SpecError(ClusterError):
    """A value of the description is wrong."""


class _Choice(StrEnum):
    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the member of this name. Raises SpecError with the nearest name."""
        try:
            return cls(text)
        except ValueError:
            raise SpecError(f"unknown {_LABELS[cls.__name__]} {text!r}: {did_you_mean(text, cls)}") from None


_LABELS = {"StoreKind": "store", "Database": "database", "RedisMode": "Redis mode", "NodeKind": "kind of node"}


class StoreKind(_Choice):
    """Where the nodes keep sessions."""

    MEMORY = "memory"
    """In each worker's own memory, so the worker that serves the next request may not know the session."""
    FILE = "file"
    """In files of one folder that all nodes share."""
    SQL = "sql"
    """In one SQL database that all nodes share: SQLite for local processes, also MySQL and PostgreSQL in containers."""
    REDIS = "redis"
    """In one Redis or Valkey that all nodes share."""
    REDIS_HA = "redis-ha"
    """In a highly available Redis: a primary, two replicas, and three Sentinels that promote one of them."""
    REDIS_CLUSTER = "redis-cluster"
    """In a Redis Cluster: three primaries that share the sessions, each with a replica."""
    EXPRESS = "express"
    """In one Redis or Valkey, in the format of connect-redis, so that a Node application can share them."""

    @property
    def needs_redis(self) -> bool:
        """Whether the cluster has a Redis or Valkey."""
        return self in {StoreKind.REDIS, StoreKind.EXPRESS} or self.has_several_servers

    @property
    def has_several_servers(self) -> bool:
        """Whether the store can fail over."""
        return self in {StoreKind.REDIS_HA, StoreKind.REDIS_CLUSTER}


class Database(_Choice):
    """The database of StoreKind.SQL."""

    SQLITE = "sqlite"
    """In a file that all nodes of one machine share."""
    MYSQL = "mysql"
    """MySQL or MariaDB; in containers only."""
    POSTGRES = "postgres"
    """PostgreSQL; in containers only."""


@dataclass(frozen=True)
class DatabaseServer:
    """The one server of a store that clusters have in containers only.

    `name` is its service in compose.yaml, and the profile of that; `title` is its name in reports. The nodes' URL has
    this `scheme`, and is in the file `url_file` in /cluster/node.
    """

    name: str
    title: str
    port: int
    scheme: str
    url_file: str
    program: str
    version_command: str

    def url(self, password: str) -> str:
        """Return the nodes' URL."""
        return f"{self.scheme}://node:{password}@{self.name}:{self.port}/sessions"


DATABASE_SERVERS: Mapping[StoreKind | Database, DatabaseServer] = {
    Database.MYSQL: DatabaseServer(
        "mysql",
        "MySQL",
        3306,
        "mysql",
        "database-url.sql.mysql",
        "mariadb",
        "mariadbd --no-defaults --version 2>/dev/null",
    ),
    Database.POSTGRES: DatabaseServer(
        "postgres",
        "PostgreSQL",
        5432,
        "postgresql",
        "database-url.sql.postgres",
        "postgres",
        "postgres --version",
    ),
}


class RedisMode(_Choice):
    """Which Redis the nodes use in containers, with StoreKind.REDIS."""

    STANDALONE = "standalone"
    """One server."""
    SENTINEL = "sentinel"
    """StoreKind.REDIS_HA."""
    CLUSTER = "cluster"
    """StoreKind.REDIS_CLUSTER."""

    @classmethod
    def from_store(cls, store: StoreKind) -> "RedisMode":
        """Return the mode that a store needs."""
        return {StoreKind.REDIS_HA: cls.SENTINEL, StoreKind.REDIS_CLUSTER: cls.CLUSTER}.get(store, cls.STANDALONE)


class Discovery(StrEnum):
    """How the proxy of a cluster in containers finds the nodes."""

    LIST = "list"
    """In a list that the cluster renews with each change."""
    DNS = "dns"
    """By asking Docker's DNS again and again, as compose.yaml alone does. Nodes cannot be drained then."""


class NodeKind(_Choice):
    """The application that the nodes run; all of them serve the HTTP interface of docs/http-api.md."""

    FLASK = "flask"
    """`nodes`: Flask with `nodes.sessions`."""
    EXPRESS = "express"
    """Express with express-session and connect-redis."""
    FLASK_SESSION = "flask-session"
    """Flask with Flask-Session."""

    @property
    def stores(self) -> tuple[StoreKind, ...]:
        """The stores that nodes of this kind support."""
        if self is NodeKind.FLASK:
            return tuple(StoreKind)
        return StoreKind.MEMORY, StoreKind.REDIS, StoreKind.REDIS_HA


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Settings of a Redis or Valkey, and of the nodes that use it. Times are in seconds.

    Settings of replicas have no effect on a single server. Raises SpecError for the first value out of range.
    """

    min_replicas_to_write: int | None = None
    """A primary with fewer connected replicas refuses writes: a disconnected one would acknowledge writes that the
    failover loses. None: 1 where a primary has two replicas; 0 in a Redis Cluster, where it has one and would
    refuse all writes from a failover until the old primary is back."""
    down_after: float = 1.0
    """How long a primary may be silent until it is replaced (down-after-milliseconds, cluster-node-timeout of
    a Redis Cluster)."""
    durability: Durability = Durability.PRIMARY
    """The writes for which the nodes wait for replicas."""
    outage: Outage = Outage.FAIL_FAST
    """The behaviour of requests without a primary: fail fast or wait."""
    append_only: bool = False
    """Whether each server appends its writes to a file every second, and restores them at a restart. For local
    processes; containers always do."""
    max_memory: str = "256mb"
    """A server that has this much data refuses writes."""

    def __post_init__(self) -> None:
        if self.min_replicas_to_write is not None and not 0 <= self.min_replicas_to_write <= 2:
            raise SpecError(f"min_replicas_to_write must be between 0 and 2, not {self.min_replicas_to_write}")
        if not 0.2 <= self.down_after <= 3600:
            raise SpecError(f"down_after must be between 0.2 and 3600 s, not {self.down_after:g}")

    def required_replicas(self, replicas: int) -> int:
        """Return how many of its `replicas` a primary must be connected to in order to accept writes."""
        if self.min_replicas_to_write is None:
            return 1 if replicas > 1 else 0
        return self.min_replicas_to_write

    def node_environment(self, has_replicas: bool) -> dict[str, str]:
        """Return the nodes' variables for these settings."""
        variables = {"STORE_OUTAGE": self.outage.value}
        if has_replicas:
            variables |= {"STORE_DURABILITY": self.durability.value, "STORE_REPLICAS": str(DURABLE_REPLICAS)}
        return variables


def parse_balance(text: str) -> Balance:
    """Return the balancing policy of this name. Raises SpecError with the nearest name."""
    try:
        return Balance.parse(text)
    except ProxySettingsError as error:
        raise SpecError(str(error)) from None


def proxy_timeouts(outage: Outage) -> dict[str, Any]:
    """Return the fields of `proxy.ProxySettings` that nodes with this outage policy need."""
    if outage is not Outage.WAIT:
        return {}
    # A read that waits for a primary must not be mistaken for a read at a silent node, nor many of them for overload.
    return {"get_timeout": ProxySettings.read_timeout, "max_in_flight": 1000}


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """The description of a cluster. Raises SpecError for the first value out of range. Times are in seconds."""

    nodes: int = 3
    workers: int = 1
    """Processes of each node. With StoreKind.MEMORY each of them has sessions of its own."""
    node: NodeKind = NodeKind.FLASK
    application: str = ""
    """`module:name` of a WSGI application in the current folder, which the nodes serve in place of the shop."""
    revision: str = ""
    """The commit of this project whose nodes run until `configure` deploys the present ones. Empty: the present ones
    from the start. It is for local processes in a checkout with its history."""
    store: StoreKind = StoreKind.MEMORY
    database: Database = Database.SQLITE
    """For StoreKind.SQL; the other two are for containers."""
    balance: Balance = Balance.ROUND_ROBIN
    discovery: Discovery = Discovery.LIST
    """DNS is for containers."""
    port: int = 0
    """The proxy's port on 127.0.0.1; 0 chooses a free one."""
    tls: bool = False
    """Whether the proxy serves https, with a certificate of an authority that is made for this cluster."""
    users: tuple[str, ...] = ("alice", "bob", "carol")
    """Names for the login; they share one random password."""
    node_settings: Mapping[str, str] = field(default_factory=dict)
    """More environment for the nodes, such as SESSION_IDLE_TIMEOUT; see `nodes.settings`."""
    store_settings: StoreSettings = field(default_factory=StoreSettings)
    """Settings of its Redis or Valkey."""
    store_proxy: bool = False
    """Whether the nodes reach the store through a `deploy.FaultProxy`. With StoreKind.REDIS_HA, which is for local
    processes then, each server has one, for nodes, Sentinels and replicas alike."""
    store_disk: str = ""
    """The size of the file system of StoreKind.FILE or SQLite, such as "16m", so that `fill_disk` of the store's
    control can fill it. It is in memory, and for containers. Empty: the sessions are on the engine's disk."""
    proxy: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `proxy.ProxySettings` that differ from its defaults, such as read_timeout."""
    start_timeout: float = 60.0
    """How long the cluster, or a member that is added or restarted, may take to become ready."""
    drain_timeout: float = 10.0
    """How long the proxy, and then the node, may finish requests on a node that leaves."""

    @property
    def session_cookie(self) -> str:
        """The name of the session cookie, which Balance.HASH uses."""
        is_express = self.store is StoreKind.EXPRESS or self.node is NodeKind.EXPRESS
        default = "connect.sid" if is_express else "session"
        if self.application:  # whose nodes have this process's environment
            default = os.environ.get("SESSION_NAME", "").strip() or default
        return self.node_settings.get("SESSION_NAME", default)

    @property
    def affinity_warning(self) -> str | None:
        """Why requests of one browser reach workers that do not know its session; None where they don't."""
        if self.store is not StoreKind.MEMORY:
            return None
        if self.workers > 1:
            return "each worker has sessions of its own, and no policy chooses a worker: most logins are lost"
        if self.nodes == 1 or self.balance in {Balance.STICKY, Balance.IP_HASH}:
            return None
        if self.balance is Balance.HASH:
            return "hash goes by the session's id, which a login renews: most logins are lost"
        return f"each node has sessions of its own, and {self.balance} changes the node: most logins are lost"

    @property
    def session_lifetime(self) -> Lifetime:
        """The timeouts of its sessions."""
        idle = self.node_settings.get("SESSION_IDLE_TIMEOUT", Settings.idle_timeout)
        absolute = self.node_settings.get("SESSION_ABSOLUTE_TIMEOUT", Settings.absolute_timeout)
        return Lifetime(float(idle), float(absolute))

    @property
    def proxy_settings(self) -> Mapping[str, Any]:
        """Fields of `proxy.ProxySettings` that differ from its defaults: `proxy`, and what the nodes need."""
        return {**proxy_timeouts(self.store_settings.outage), **self.proxy}

    @property
    def has_single_server(self) -> bool:
        """Whether the store is one server without replicas."""
        return self.database_server is not None or (self.store.needs_redis and not self.store.has_several_servers)

    @property
    def database_server(self) -> DatabaseServer | None:
        """The server that only containers have; None where the store needs none, or a Redis."""
        return DATABASE_SERVERS.get(self.database if self.store is StoreKind.SQL else self.store)

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        if not 1 <= self.workers <= MOST_WORKERS:
            raise SpecError(f"workers must be between 1 and {MOST_WORKERS}, not {self.workers}")
        if self.database is not Database.SQLITE and self.store is not StoreKind.SQL:
            raise SpecError(f"database {self.database} is for store sql, not for {self.store}: leave it out")
        if self.node is NodeKind.EXPRESS and self.workers > 1:
            raise SpecError(
                f"workers must be 1 for express nodes, which are one process, not {self.workers}; add nodes instead"
            )
        if self.application:
            self._check_application()
        if self.revision:
            self._check_revision()
        if self.store not in self.node.stores:
            stores = ", ".join(self.node.stores)
            raise SpecError(f"{self.node} nodes cannot keep sessions in {self.store}: choose one of {stores}")
        if not 0 <= self.port <= 65535:
            raise SpecError(f"port must be between 0 (a free one) and 65535, not {self.port}")
        if not self.users:
            raise SpecError("users must not be empty: at least one has to log in")
        for name in self.users:
            if not _USER.fullmatch(name):
                raise SpecError(f"user must be a lower-case letter, then letters, digits, '_' or '-', not {name!r}")
        for name in self.node_settings:
            if not _VARIABLE.fullmatch(name):
                raise SpecError(f"node setting must be a variable in capitals, not {name!r}")
        if self.store_proxy and not (self.has_single_server or self.store is StoreKind.REDIS_HA):
            raise SpecError(f"store {self.store} has no single server that a proxy could stand before")
        if self.store_disk:
            self._check_disk()
        unknown = set(self.proxy) - {each.name for each in fields(ProxySettings)}
        if unknown:
            raise SpecError(f"{sorted(unknown)[0]!r} is not a setting of the proxy: see proxy.ProxySettings")
        for what in ("start_timeout", "drain_timeout"):
            if not 0 < getattr(self, what) <= 3600:
                raise SpecError(f"{what} must be above 0 s and at most 3600 s, not {getattr(self, what):g} s")

    def _check_application(self) -> None:
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_].*", self.application):
            raise SpecError(f"app must be module:name or module:function(), not {self.application!r}")
        if self.node is not NodeKind.FLASK:
            raise SpecError(f"app is for flask nodes, not for {self.node}: leave one of them out")
        if self.store is StoreKind.EXPRESS:
            raise SpecError("app can't keep its sessions in express: choose another store")

    def _check_revision(self) -> None:
        if not _COMMIT.fullmatch(self.revision):
            raise SpecError(f"revision must be 7 to 40 hexadecimal digits of a commit, not {self.revision!r}")
        if self.node is not NodeKind.FLASK or self.application:
            raise SpecError(f"revision is for flask nodes, not for {self.application or self.node}")

    def _check_disk(self) -> None:
        if not _SIZE.fullmatch(self.store_disk):
            raise SpecError(f"store_disk must be a size in k or m, such as 16m, not {self.store_disk!r}")
        if self.store not in {StoreKind.FILE, StoreKind.SQL} or self.database is not Database.SQLITE:
            raise SpecError(f"store_disk is for sessions in file and sql (SQLite), not for {self.store}")


def check_nodes(nodes: int) -> None:
    """Raise SpecError for a number of nodes out of range."""
    if not 1 <= nodes <= MOST_NODES:
        raise SpecError(f"nodes must be between 1 and {MOST_NODES}, not {nodes:,}")
