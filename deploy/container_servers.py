"""The servers of a Redis in containers that has several: asked inside their containers, since their network cannot be
reached from everywhere that their engine can.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.cluster import MemberState, StoreStatistics
from deploy.compose.docker import Container, Project
from deploy.compose.members import member_name, state_of
from deploy.container_redis import PORT, SENTINEL_PORT, SENTINELS
from deploy.errors import ClusterError
from deploy.fault_proxy import FaultProxy
from deploy.redis import acl
from deploy.spec import ClusterSpec, StoreKind

_POLL = 0.1
# The password is never an argument, which everybody on this machine could read.
_ASK = 'REDISCLI_AUTH="$(cat /cluster/{folder}/password)" exec redis-cli -e --raw --user "$0" -p {port} "$@"'


class ContainerStore:
    """A `deploy.StoreControl`; what this store does not have raises ClusterError."""

    def __init__(self, project: Project, spec: ClusterSpec, proxy: FaultProxy | None) -> None:
        self._project = project
        self._kind = spec.store
        self._proxy = proxy

    @property
    def url(self) -> str:
        """It leads to the server where the engine's networks are this machine's, as on Linux."""
        if self._kind is not StoreKind.REDIS:
            raise ClusterError(f"sessions are in {self._kind}: there is no Redis with one address and the nodes' user")
        (server,) = self._project.containers("redis")
        if "store" not in server.addresses:
            raise ClusterError("the store does not run, so it has no address: restart it first")
        password = self._project.read(server, "/cluster/store/password")
        return f"redis://{acl.NODE}:{password}@{server.addresses['store']}:{PORT}/0"

    @property
    def proxy(self) -> FaultProxy:
        if self._proxy is None:
            raise ClusterError("the cluster has no proxy to its store: set store_proxy in its spec")
        return self._proxy

    def primary(self) -> str:
        if not self._kind.needs_redis:
            raise ClusterError(f"sessions are in {self._kind}: the store has no server")
        return "store"

    def failover(self) -> None:
        raise ClusterError(f"the store has no replica that could take over: it is {self._kind}, alone")

    def disconnect_replicas(self) -> None:
        raise ClusterError(f"the store has no replicas that could be disconnected: it is {self._kind}")

    def reconnect_replicas(self) -> None:
        self.disconnect_replicas()

    def statistics(self) -> StoreStatistics:
        raise ClusterError("statistics of a store in containers are not available yet")

    def before_restart(self, name: str) -> None:
        """Promote another server if this one is a primary."""


class ContainerServers(ContainerStore):
    """Several servers. `places`: the last parts of their addresses, by service."""

    def __init__(
        self, project: Project, spec: ClusterSpec, proxy: FaultProxy | None, places: Mapping[str, int]
    ) -> None:
        super().__init__(project, spec, proxy)
        self._seconds = spec.start_timeout
        self._names = {str(last): member_name(service, 1) for service, last in places.items()}
        self._places = places

    def _name_at(self, address: str) -> str:
        """Empty for an address that is none of theirs."""
        return self._names.get(address.rpartition(".")[2], "")

    def _running(self, services: Mapping[str, int]) -> list[Container]:
        found = self._project.containers()
        return [one for one in found if one.service in services and state_of(one) is MemberState.RUNNING]

    def _state(self, name: str) -> MemberState:
        found = [one for one in self._project.containers() if one.service in self._places]
        return next(state_of(one) for one in found if name_of(one) == name)

    def _ask_all(self, services: Mapping[str, int], *words: str) -> list[tuple[Container, list[str] | None]]:
        """What all who run answer. At once: most of the time that it takes an engine to run a command, it waits."""
        running = self._running(services)
        with ThreadPoolExecutor(len(running) or 1) as pool:
            return list(zip(running, pool.map(lambda one: self._ask(one, *words), running), strict=True))

    def _ask(self, container: Container, *words: str) -> list[str] | None:
        """The lines of the answer; None where there is none, or an error."""
        folder, port = ("sentinels", SENTINEL_PORT) if container.service in SENTINELS else ("servers", PORT)
        command = ("sh", "-c", _ASK.format(folder=folder, port=port), acl.OPERATOR, *words)
        try:
            return self._project.docker("exec", container.id, *command, timeout=5.0).splitlines()
        except ClusterError:
            return None

    def _follow(self, primaries: set[str]) -> bool:
        """Whether exactly these are primaries, and all others who run get what theirs has."""
        for one, lines in self._ask_all(self._places, "INFO", "replication"):
            state = replication(lines)
            is_primary = state.get("role") == "master"
            if is_primary is not (name_of(one) in primaries):
                return False
            if not is_primary and state.get("master_link_status") != "up":
                return False
        return True

    def _wait(self, otherwise: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._seconds
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise} within {self._seconds:g} s")
            time.sleep(_POLL)


def replication(lines: list[str] | None) -> dict[str, str]:
    """What a server answers to INFO replication; empty where it does not."""
    return dict(line.split(":", 1) for line in lines or () if ":" in line)


def name_of(server: Container) -> str:
    return member_name(server.service, server.number)
