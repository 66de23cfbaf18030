"""What operators do to a cluster that serves: restart it, deploy to it, reload its proxy, scale it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from deploy import Cluster, Role
from loadtest.faults.fault import restore

_SECONDS_TO_RESTART = 4.0
"""A node that is drained, told to end, started and ready again: about so long on two busy cores."""


@dataclass(frozen=True)
class RollingRestart:
    """All nodes, one after the other: drained, told to end, started, back in rotation. Nothing is left to undo."""

    nodes: int
    what: str = "restart all nodes, one by one"

    @property
    def seconds(self) -> float:
        return self.nodes * _SECONDS_TO_RESTART

    def apply(self, cluster: Cluster) -> None:
        for name in node_names(cluster):
            cluster.restart(name)

    def undo(self, cluster: Cluster) -> None:
        restore(cluster)


@dataclass(frozen=True)
class RollingDeploy:
    """Several deployments, each of them new settings that the nodes take up one by one, `pause` seconds apart.

    It is not undone: what the last deployment has written, only it can read. Nodes that do not run are started.
    """

    nodes: int
    stages: tuple[Mapping[str, str], ...]
    pause: float = 0.0
    what: str = "deploy, one node at a time"

    @property
    def seconds(self) -> float:
        return len(self.stages) * (self.nodes * _SECONDS_TO_RESTART + (self.nodes - 1) * self.pause)

    def apply(self, cluster: Cluster) -> None:
        for settings in self.stages:
            cluster.configure(settings)
            for number, name in enumerate(node_names(cluster)):
                if number:
                    time.sleep(self.pause)
                cluster.restart(name)

    def undo(self, cluster: Cluster) -> None:
        restore(cluster)


@dataclass(frozen=True)
class Reload:
    """Reloads of the proxy, one as soon as the one before is done. Nothing is left to undo."""

    times: int

    @property
    def what(self) -> str:
        return f"reload the proxy {self.times} times"

    @property
    def seconds(self) -> float:
        return 0.4 * self.times

    def apply(self, cluster: Cluster) -> None:
        for _ in range(self.times):
            cluster.balance(cluster.spec.balance)

    def undo(self, cluster: Cluster) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Scale:
    """Another number of nodes; undone by going back to the number in the cluster's spec."""

    nodes: int
    seconds: float = 6.0

    @property
    def what(self) -> str:
        return f"scale to {self.nodes} nodes"

    def apply(self, cluster: Cluster) -> None:
        cluster.scale(self.nodes)

    def undo(self, cluster: Cluster) -> None:
        cluster.scale(cluster.spec.nodes)


def node_names(cluster: Cluster) -> list[str]:
    """Of the nodes, in the order of their numbers."""
    return [member.name for member in cluster.members() if member.role is Role.NODE]
