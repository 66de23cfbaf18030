"""Faults of the network between the nodes and the store; the cluster's spec has to ask for a `store_proxy`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from deploy import Cluster


class NetworkFault(ABC):
    """A fault of the store's proxy; undone by resetting it."""

    seconds: ClassVar[float] = 0.1

    @property
    @abstractmethod
    def what(self) -> str: ...

    @abstractmethod
    def apply(self, cluster: Cluster) -> None: ...

    def undo(self, cluster: Cluster) -> None:
        cluster.store.proxy.reset()


@dataclass(frozen=True)
class Latency(NetworkFault):
    """Delay every answer of the store by `latency` seconds."""

    latency: float

    @property
    def what(self) -> str:
        return f"slow the store down by {self.latency * 1000:g} ms"

    def apply(self, cluster: Cluster) -> None:
        cluster.store.proxy.latency(self.latency)


class Blackhole(NetworkFault):
    """Let no byte pass to the store; connections stay open, and new ones are accepted."""

    what = "silence the network to the store"

    def apply(self, cluster: Cluster) -> None:
        cluster.store.proxy.blackhole()


class StoreDown(NetworkFault):
    """Refuse all connections to the store, which keeps its data."""

    what = "cut the network to the store"

    def apply(self, cluster: Cluster) -> None:
        cluster.store.proxy.down()
