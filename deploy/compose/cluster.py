"""The cluster as containers, through `docker compose`: compose.yaml, under a project name of its own."""

import json
import secrets
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from deploy.base import BaseCluster
from deploy.cluster import Member, MemberState
from deploy.compose.disk import DiskControl
from deploy.compose.docker import Container, Project
from deploy.compose.override import (
    SUBNET_ERRORS,
    choose_subnet,
    configure,
    make_override,
    make_variables,
    start_fault_proxy,
)
from deploy.compose.proxy import ComposeProxy
from deploy.compose.redis_servers import ComposeRedis
from deploy.compose.services import find_members, log_tail, make_member, read_versions, wait_until_ready
from deploy.ports import free_ports
from deploy.redis.control import make_control
from deploy.spec import ClusterError, ClusterSpec, NodeKind
from deploy.store_control import BaseStoreControl

_SECONDS_TO_BUILD = 900.0
_SECONDS_TO_STOP = 5
_STARTS = 3


class ComposeCluster(BaseCluster):
    """A `deploy.Cluster` of containers. They run in the engine, so they outlive a command that is killed."""

    def __init__(self, spec: ClusterSpec) -> None:
        super().__init__(spec)
        self._name = f"session-cluster-{secrets.token_hex(4)}"
        self._project: Project | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._subnet = ""
        self._port = 0

    @property
    def url(self) -> str:
        self._running_project()
        return f"http://127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._reset()
        if self._project is not None:
            paused = [one.id for one in self._project.containers() if one.state is MemberState.PAUSED]
            if paused:
                self._project.docker("unpause", *paused)
            arguments = ("--volumes", "--rmi", "local", "--remove-orphans", "--timeout", str(_SECONDS_TO_STOP))
            self._project.compose("down", *arguments, timeout=120)
            self._project = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def wait_ready(self, timeout: float = 30.0) -> None:
        self._wait_ready(self._running_containers(), timeout)

    def move(self, name: str) -> None:
        self._require_node(name)
        container = self._container(name)
        project, network = self._running_project(), f"{self._name}_app"
        project.docker("network", "disconnect", network, container.id)
        # The engine assigns the lowest free address, which would be the old one again, unless another container has it.
        holder = project.containers("redis")[0].id
        project.docker("network", "connect", network, holder)
        try:
            project.docker("network", "connect", "--alias", container.service, network, container.id)
        finally:
            project.docker("network", "disconnect", network, holder)

    def configure(self, node_settings: Mapping[str, str]) -> None:
        configure(self._running_project(), node_settings)

    @property
    def store(self) -> BaseStoreControl:
        project, store = self._running_project(), BaseStoreControl(self.spec.store)
        if self.spec.store_disk:
            store = DiskControl(project, self.spec)
        elif self.spec.store.needs_redis:
            store = make_control(ComposeRedis(project, self.spec, self._subnet), self.spec, is_coordinated=False)
        store.fault_proxy = self._fault_proxy
        return store

    @property
    def authority(self) -> None:
        return None  # containers of a `ComposeCluster` serve http

    @property
    def versions(self) -> Mapping[str, str]:
        project, running = self._running_project(), self._running_containers()
        return read_versions((one.service, project, one.id) for one in running)

    def members(self) -> tuple[Member, ...]:
        return tuple(make_member(name, one, name in self._states) for name, one in self._members().items())

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        self._find(name)
        return self._running_project().log_lines(self._container(name).id, count)

    def exit_reason(self, name: str) -> str:
        self._find(name)
        return self._container(name).exit_reason

    def _is_started(self) -> bool:
        return self._project is not None

    def _start(self) -> None:
        if self.spec.node is not NodeKind.FLASK:
            raise ClusterError(f"nodes in containers are flask: {self.spec.node} nodes run as local processes only")
        self._folder = tempfile.TemporaryDirectory(prefix="session-cluster-")
        project = self._up(Path(self._folder.name))
        setup = project.containers("setup")[0]
        self.users = json.loads(project.read(setup.id, "/cluster/users/passwords.json"))["users"]
        self._change_proxy()
        self.wait_ready(self.spec.start_timeout)

    def _add_nodes(self, count: int) -> None:
        project, before = self._running_project(), self._node_names()
        scale = f"node={len(before) + count}"
        arguments = ("--no-start", "--no-deps", "--no-recreate", "--no-build", "--scale", scale, "node")
        project.compose("up", *arguments, timeout=self.spec.start_timeout)
        added = [name for name in self._node_names() if name not in before]
        project.docker("start", *(self._container(name).id for name in added))
        self._wait_ready([self._container(name) for name in added], self.spec.start_timeout)

    def _remove_nodes(self, names: Collection[str]) -> None:
        project, ids = self._running_project(), [self._unpause(name).id for name in names]
        project.docker("stop", "--time", self._drain_seconds, *ids, timeout=120)
        project.docker("rm", *ids)

    def _kill(self, name: str) -> None:  # it stays dead: override.py has `restart: no`
        self._running_project().docker("kill", self._unpause(name).id)

    def _pause(self, name: str) -> None:
        self._running_project().pause(self._container(name).id)

    def _resume(self, name: str) -> None:
        self._unpause(name)

    def _restart(self, name: str) -> None:
        project, container = self._running_project(), self._unpause(name)
        project.docker("stop", "--time", self._drain_seconds, container.id, timeout=120)
        project.docker("start", container.id)
        self._wait_ready([self._container(name)], self.spec.start_timeout)

    def _describe(self) -> None:
        """Do nothing: the engine knows its containers."""

    @property
    def _drain_seconds(self) -> str:
        return str(round(self.spec.drain_timeout))

    def _up(self, folder: Path) -> Project:
        if self.spec.tls:
            raise ClusterError("TLS is for local processes: use `docker compose --profile tls`")
        if self.spec.store_proxy and not self.spec.has_single_server:
            raise ClusterError("a proxy before each of several servers is for local processes")
        if self.spec.revision:
            raise ClusterError("revision is for local processes: the image has the present code")
        for attempt in range(1, _STARTS + 1):
            self._port = self.spec.port or free_ports(1)[0]
            self._subnet = choose_subnet()
            variables = make_variables(self.spec, self._port, self._subnet)
            project = Project(self._name, variables, make_override(self.spec, self._subnet), folder)
            project.docker("version")
            self._proxy = ComposeProxy(project, self.spec)
            self._project = project
            project.compose("build", "image", timeout=_SECONDS_TO_BUILD)
            try:
                if self.spec.store_proxy:
                    self._fault_proxy = start_fault_proxy(project, self.spec)
                project.compose("up", "--detach", "--wait", "--no-build", timeout=self.spec.start_timeout)
            except ClusterError as error:
                is_taken = "already" in str(error) and not self.spec.port
                if attempt == _STARTS or not (is_taken or any(text in str(error) for text in SUBNET_ERRORS)):
                    raise ClusterError(f"{error}{log_tail(project, str(error))}") from error
                # Another project has the subnet, or another process the port that was free a moment ago.
                self._reset()
                project.compose("down", "--volumes", timeout=120)
            else:
                return project
        raise AssertionError("the last attempt returns or raises")

    def _wait_ready(self, containers: Iterable[Container], timeout: float) -> None:
        wait_until_ready(self._running_project(), containers, self._port, timeout)

    def _members(self) -> dict[str, Container]:
        return find_members(self._running_project(), self.spec)

    def _running_containers(self) -> list[Container]:
        return [one for one in self._members().values() if one.state is MemberState.RUNNING]

    def _container(self, name: str) -> Container:
        return self._members()[name]

    def _unpause(self, name: str) -> Container:
        """Return a member after it is unpaused: the engine neither stops nor kills a paused one."""
        container = self._container(name)
        if container.state is MemberState.PAUSED:
            self._running_project().docker("unpause", container.id)
            return self._container(name)
        return container

    def _running_project(self) -> Project:
        if self._project is None:
            raise ClusterError("the cluster does not run: start it first")
        return self._project
