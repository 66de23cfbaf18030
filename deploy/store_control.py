"""The control of a store that has no operations: the base class for those that have some, such as Redis.

`deploy.cluster.StoreControl` is the protocol. A missing operation raises ClusterError with the reason.
"""

from collections.abc import Mapping

from deploy.cluster import StoreStatistics
from deploy.fault_proxy import FaultProxy
from deploy.spec import ClusterError, StoreKind


class BaseStoreControl:
    """A `deploy.StoreControl` without operations: base class of the others, and the control of an SQL server."""

    def __init__(self, kind: StoreKind) -> None:
        self.kind = kind
        self.fault_proxy: FaultProxy | None = None
        self.fault_proxies: Mapping[str, FaultProxy] = {}

    @property
    def url(self) -> str:
        raise ClusterError(f"the store has no single address: it is {self.kind}")

    @property
    def proxy(self) -> FaultProxy:
        if self.fault_proxy is None:
            raise ClusterError("the cluster has no proxy to its store: set store_proxy in its spec")
        return self.fault_proxy

    def proxy_of(self, member: str) -> FaultProxy:
        try:
            return self.fault_proxies[member]
        except KeyError:
            raise ClusterError(f"{member} has no proxy of its own: set store_proxy in the spec of a redis-ha") from None

    def primary(self) -> str:
        raise ClusterError(f"sessions are in {self.kind}: the store has no primary")

    def primaries(self) -> frozenset[str]:
        return frozenset({self.primary()})

    def failover(self) -> None:
        raise ClusterError(f"the store has no replica that could take over: it is {self.kind}")

    def disconnect_replicas(self) -> None:
        raise ClusterError(f"the store has no replicas that could be disconnected: it is {self.kind}")

    def reconnect_replicas(self) -> None:
        self.disconnect_replicas()

    def fill_disk(self) -> None:
        raise ClusterError("the sessions have no disk of their own: set store_disk in the spec")

    def free_disk(self) -> None:
        self.fill_disk()

    def statistics(self) -> StoreStatistics:
        raise ClusterError(f"sessions are in {self.kind}: no statistics are available")

    def bootstrap(self) -> None:
        """Block until the servers that have just been started are one store."""

    def prepare_restart(self, member: str) -> None:
        """Promote another server first if `member` is a primary and can be replaced. Block until that is done."""
