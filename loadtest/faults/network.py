"""Faults of the network between the nodes and the store; the cluster's spec has to ask for a `store_proxy`."""

from dataclasses import dataclass

from deploy import Cluster


@dataclass(frozen=True)
class Latency:
    """Every answer of the store comes `latency` seconds late."""

    latency: float
    seconds: float = 0.1

    @property
    def what(self) -> str:
        return f"slow the store down by {self.latency * 1000:g} ms"

    def apply(self, cluster: Cluster) -> None:
        cluster.store.proxy.latency(self.latency)

    def undo(self, cluster: Cluster) -> None:
        cluster.store.proxy.reset()


@dataclass(frozen=True)
class Blackhole:
    """Connections to the store stay open and new ones are accepted, and nothing passes."""

    what: str = "silence the network to the store"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        cluster.store.proxy.blackhole()

    def undo(self, cluster: Cluster) -> None:
        cluster.store.proxy.reset()


@dataclass(frozen=True)
class StoreDown:
    """The store cannot be reached by anybody, and keeps all that it has."""

    what: str = "cut the network to the store"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        cluster.store.proxy.down()

    def undo(self, cluster: Cluster) -> None:
        cluster.store.proxy.reset()
