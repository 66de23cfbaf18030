"""Operations on a serving cluster: restart, deploy, reload, scale."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from deploy import Cluster, Role
from loadtest.faults.fault import restore

_SECONDS_TO_RESTART = 4.0
"""For one node on two busy cores: drain, stop, start, ready."""


@dataclass(frozen=True)
class RollingRestart:
    """Drain, stop and start all nodes, one after the other. There is nothing to undo."""

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
    """Deploy new settings several times, each time node by node, `pause` seconds apart.

    It is not undone: only the last deployment can read what it wrote. Nodes that do not run are started.
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
    """Reload the proxy several times in a row. There is nothing to undo."""

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
        """Do nothing."""


@dataclass(frozen=True)
class Scale:
    """Change the number of nodes; undone by returning to that of the spec."""

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
    """Return the names of the nodes by number."""
    return [member.name for member in cluster.members() if member.role is Role.NODE]
