"""The store of a cluster in containers: who is the primary, and how another becomes it."""

from typing import Protocol

from deploy import acl
from deploy.container_redis import PORT
from deploy.container_sentinels import ContainerSentinels
from deploy.container_shards import ContainerShards
from deploy.engine import Project
from deploy.errors import ClusterError
from deploy.spec import ClusterSpec, RedisMode, StoreKind


class ContainerStore(Protocol):
    """Every method raises ClusterError."""

    def primary(self) -> str:
        """The name of the primary; of several the first."""

    def fail_over(self) -> None:
        """Returns when a replica has taken over, and the others follow it."""

    def before_restart(self, name: str) -> None:
        """Where this server is a primary and somebody can take over: returns when that is done."""


def store_of(project: Project, spec: ClusterSpec) -> ContainerStore:
    """That of a cluster which runs."""
    match RedisMode.of(spec.store):
        case RedisMode.SENTINEL:
            return ContainerSentinels(project, spec)
        case RedisMode.CLUSTER:
            return ContainerShards(project, spec)
        case RedisMode.STANDALONE:
            return _Lone(spec)


def replicated(project: Project, spec: ClusterSpec) -> ContainerSentinels:
    """The same, of one whose replicas can be cut off. Raises ClusterError for any other."""
    store = store_of(project, spec)
    if not isinstance(store, ContainerSentinels):
        raise ClusterError(f"the store has no replicas that could be cut off: it is {spec.store}")
    return store


def lone_url(project: Project, spec: ClusterSpec) -> str:
    """Of the one Redis, with the nodes' user and password; it leads there where the engine's networks are this
    machine's, as they are on Linux. Raises ClusterError where there is none that runs."""
    if spec.store is not StoreKind.REDIS:
        raise ClusterError(f"sessions are in {spec.store}: there is no Redis that has one address and the nodes' user")
    (server,) = project.containers("redis")
    if "store" not in server.addresses:
        raise ClusterError("the store does not run, so it has no address: restart it first")
    password = project.read(server, "/cluster/store/password")
    return f"redis://{acl.NODE}:{password}@{server.addresses['store']}:{PORT}/0"


class _Lone:
    def __init__(self, spec: ClusterSpec) -> None:
        self._kind = spec.store

    def primary(self) -> str:
        if not self._kind.needs_redis:
            raise ClusterError(f"sessions are in {self._kind}: the store has no server")
        return "store"

    def fail_over(self) -> None:
        raise ClusterError(f"the store has no replica that could take over: it is {self._kind}, alone")

    def before_restart(self, name: str) -> None:
        pass
