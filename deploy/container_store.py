"""The store of a cluster in containers."""

from deploy.compose.docker import Project
from deploy.container_sentinels import ContainerSentinels
from deploy.container_servers import ContainerStore
from deploy.container_shards import ContainerShards
from deploy.fault_proxy import FaultProxy
from deploy.spec import ClusterSpec, RedisMode


def make_store(project: Project, spec: ClusterSpec, proxy: FaultProxy | None) -> ContainerStore:
    """Return control of the store of a running cluster."""
    kinds = {RedisMode.SENTINEL: ContainerSentinels, RedisMode.CLUSTER: ContainerShards}
    return kinds.get(RedisMode.of(spec.store), ContainerStore)(project, spec, proxy)
