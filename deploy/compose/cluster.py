"""The cluster as containers, through `docker compose`: compose.yaml, under a project name of its own."""

import json
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.cluster import Member, MemberState, Role
from deploy.compose.docker import Container, Project
from deploy.compose.members import (
    ComposeRedis,
    find_members,
    get_role,
    get_state,
    log_tail,
    make_member,
    read_versions,
    wait_until_ready,
)
from deploy.compose.override import (
    SUBNET_ERRORS,
    choose_subnet,
    configure,
    make_override,
    make_variables,
    start_fault_proxy,
)
from deploy.compose.proxy import ComposeProxy
from deploy.fault_proxy import FaultProxy
from deploy.ports import free_ports, require_free
from deploy.redis.config import SERVERS
from deploy.redis.control import Cluster, Sentinel, StandaloneRedis, Store
from deploy.spec import ClusterError, ClusterSpec, NodeKind, RedisMode, StoreSettings, check_nodes
from proxy import Balance, ServerState

_SECONDS_TO_BUILD = 900.0
_SECONDS_TO_STOP = 5
_STARTS = 3


class ComposeCluster:
    """A `deploy.Cluster` of containers. They run in the engine, so they outlive a command that is killed; a cluster
    that is started under the same `project` name takes them over.

    `project` None chooses a name that no other cluster has.
    """

    def __init__(self, spec: ClusterSpec, project: str | None = None) -> None:
        self.spec = spec
        self.users: Mapping[str, str] = {}
        self._name = project or f"session-cluster-{secrets.token_hex(4)}"
        self._project: Project | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._fault_proxy: FaultProxy | None = None
        self._subnet = ""
        self._port = 0

    @property
    def url(self) -> str:
        self._running_project()
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._project is not None:
            raise ClusterError("the cluster is running already")
        if self.spec.node is not NodeKind.FLASK:
            raise ClusterError(f"nodes in containers are flask: {self.spec.node} nodes run as local processes only")
        if self.spec.port:
            require_free(self.spec.port)
        self._folder = tempfile.TemporaryDirectory(prefix="session-cluster-")
        try:
            project = self._up(Path(self._folder.name))
            setup = project.containers("setup")[0]
            self.users = json.loads(project.read(setup, "/cluster/users/passwords.json"))["users"]
            self._proxy.apply()
            self.wait_ready(self.spec.start_timeout)
        except BaseException:  # Ctrl-C too: a start that fails leaves nothing.
            self.stop()
            raise

    def stop(self) -> None:
        self._close_fault_proxy()
        if self._project is not None:
            paused = [one.id for one in self._project.containers() if get_state(one) is MemberState.PAUSED]
            if paused:
                self._project.docker("unpause", *paused)
            arguments = ("--volumes", "--remove-orphans", "--timeout", str(_SECONDS_TO_STOP))
            self._project.compose("down", *arguments, timeout=120)
            self._project = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def wait_ready(self, timeout: float = 30.0) -> None:
        running = [one for one in self._members().values() if get_state(one) is MemberState.RUNNING]
        self._wait_ready(running, timeout)

    def scale(self, nodes: int) -> None:
        check_nodes(nodes)
        self._running_project()
        self._proxy.require_running()
        names = self._nodes()
        if nodes > len(names):
            self._add(nodes, set(names))
        elif leaving := names[nodes:]:
            self._take_away(leaving)

    def kill(self, name: str) -> None:
        container = self._unpause(name)
        if get_state(container) is MemberState.RUNNING:
            self._running_project().docker("kill", container.id)

    def pause(self, name: str) -> None:
        container = self._container(name)
        state = get_state(container)
        if state is MemberState.ENDED:
            raise ClusterError(f"{name} has ended and cannot be paused: restart it first")
        if state is MemberState.RUNNING:
            self._running_project().docker("pause", container.id)

    def resume(self, name: str) -> None:
        self._unpause(name)

    def drain(self, name: str) -> None:
        if get_role(self._container(name)) is not Role.NODE:
            raise ClusterError(f"{name} is not a node")
        if not self._has_others(name):
            raise ClusterError(f"{name} cannot be drained: no other node is in rotation")
        self._proxy.set_state(name, ServerState.DRAIN)

    def restart(self, name: str) -> None:
        project = self._running_project()
        container = self._container(name)
        before, is_node = get_state(container), get_role(container) is Role.NODE
        if get_role(container) is Role.STORE:
            self.store.prepare_restart(name)
        container = self._unpause(name)
        if is_node and before is MemberState.RUNNING and self._has_others(name):
            self._proxy.set_state(name, ServerState.DOWN)
        project.docker("stop", "--time", str(round(self.spec.drain_timeout)), container.id, timeout=120)
        project.docker("start", container.id)
        self._wait_ready([self._container(name)], self.spec.start_timeout)
        if is_node:
            # Even if it never left: it may have another address, and the proxy forgets that it failed.
            self._proxy.set_state(name, ServerState.UP)

    def move(self, name: str) -> None:
        container = self._container(name)
        if get_role(container) is not Role.NODE:
            raise ClusterError(f"{name} is not a node")
        project, network = self._running_project(), f"{self._name}_app"
        project.docker("network", "disconnect", network, container.id)
        # The engine assigns the lowest free address, which would be the old one again, unless another container has it.
        holder = project.containers("redis")[0].id
        project.docker("network", "connect", network, holder)
        try:
            project.docker("network", "connect", "--alias", container.service, network, container.id)
        finally:
            project.docker("network", "disconnect", network, holder)

    def balance(self, policy: Balance) -> None:
        self._running_project()
        self._proxy.set_policy(policy)

    def configure(self, node_settings: Mapping[str, str]) -> None:
        configure(self._running_project(), node_settings)

    @property
    def store(self) -> Store:
        servers = ComposeRedis(self._running_project(), self.spec, self._subnet)
        kind, timeout = self.spec.store, self.spec.start_timeout
        match RedisMode.from_store(kind):
            case RedisMode.SENTINEL:
                required = self.spec.store_settings.required_replicas(SERVERS - 1)
                return Sentinel(servers, kind, timeout, required, is_coordinated=False)
            case RedisMode.CLUSTER:
                return Cluster(servers, kind, timeout)
        return StandaloneRedis(servers, kind, self._fault_proxy) if kind.needs_redis else Store(kind, self._fault_proxy)

    @property
    def authority(self) -> None:
        return None  # containers of a `ComposeCluster` serve http

    @property
    def policy(self) -> Balance:
        self._running_project()
        return self._proxy.policy

    @property
    def node_count(self) -> int:
        return len(self._nodes())

    @property
    def versions(self) -> Mapping[str, str]:
        return read_versions(self._running_project(), self._members().values())

    def members(self) -> tuple[Member, ...]:
        return tuple(make_member(name, one, name in self._proxy.states) for name, one in self._members().items())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _up(self, folder: Path) -> Project:
        if self.spec.store_settings.max_lag != StoreSettings.max_lag:
            raise ClusterError("max_lag is for local processes: in containers it is 2 s; leave it out")
        if self.spec.tls:
            raise ClusterError("TLS is for local processes: use `docker compose --profile tls`")
        for attempt in range(1, _STARTS + 1):
            self._port = self.spec.port or free_ports(1)[0]
            self._subnet = choose_subnet()
            variables = make_variables(self.spec, self._port, self._subnet)
            project = Project(self._name, variables, make_override(self.spec, self._subnet), folder)
            project.docker("version")
            self._proxy = ComposeProxy(project, self.spec)
            self._project = project
            project.compose("build", "setup", timeout=_SECONDS_TO_BUILD)
            try:
                if self.spec.store_proxy:
                    self._fault_proxy = start_fault_proxy(project, self.spec)
                project.compose("up", "--detach", "--wait", "--no-build", timeout=self.spec.start_timeout)
            except ClusterError as error:
                is_taken = "already" in str(error) and not self.spec.port
                if attempt == _STARTS or not (is_taken or any(text in str(error) for text in SUBNET_ERRORS)):
                    raise ClusterError(f"{error}{log_tail(project, str(error))}") from error
                # Another project has the subnet, or another process the port that was free a moment ago.
                self._close_fault_proxy()
                project.compose("down", "--volumes", timeout=120)
            else:
                return project
        raise AssertionError("the last attempt returns or raises")

    def _close_fault_proxy(self) -> None:
        if self._fault_proxy is not None:
            self._fault_proxy.close()
            self._fault_proxy = None

    def _add(self, nodes: int, before: set[str]) -> None:
        project = self._running_project()
        arguments = ("--no-start", "--no-deps", "--no-recreate", "--no-build", "--scale", f"node={nodes}", "node")
        project.compose("up", *arguments, timeout=self.spec.start_timeout)
        added = [name for name in self._nodes() if name not in before]
        project.docker("start", *(self._container(name).id for name in added))
        self._wait_ready([self._container(name) for name in added], self.spec.start_timeout)
        self._proxy.apply()

    def _take_away(self, names: list[str]) -> None:
        project = self._running_project()
        self._proxy.apply(without=names)
        self._proxy.wait_finished()
        ids = [self._unpause(name).id for name in names]
        project.docker("stop", "--time", str(round(self.spec.drain_timeout)), *ids, timeout=120)
        project.docker("rm", *ids)
        for name in names:
            self._proxy.states.pop(name, None)

    def _has_others(self, name: str) -> bool:
        return bool(set(self._nodes()) - {name} - set(self._proxy.states))

    def _wait_ready(self, containers: Iterable[Container], timeout: float) -> None:
        wait_until_ready(self._running_project(), containers, self._port, timeout)

    def _members(self) -> dict[str, Container]:
        return find_members(self._running_project(), self.spec)

    def _nodes(self) -> list[str]:
        return [name for name, one in self._members().items() if get_role(one) is Role.NODE]

    def _container(self, name: str) -> Container:
        found = self._members()
        if name not in found:
            raise ClusterError(f"the cluster has no member {name!r}: it has {', '.join(found)}")
        return found[name]

    def _unpause(self, name: str) -> Container:
        """Return a member after it is unpaused: the engine neither stops nor kills a paused one."""
        container = self._container(name)
        if get_state(container) is MemberState.PAUSED:
            self._running_project().docker("unpause", container.id)
            return self._container(name)
        return container

    def _running_project(self) -> Project:
        if self._project is None:
            raise ClusterError("the cluster does not run: start it first")
        return self._project
