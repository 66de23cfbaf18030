"""Faults of a store that has a primary and replicas."""

from dataclasses import dataclass

from deploy import Cluster, Role
from loadtest.failover.faults.fault import mend


@dataclass(frozen=True)
class KillPrimary:
    """SIGKILL to whoever takes the writes; undone by a restart of what has ended, as a replica if there is another."""

    what: str = "kill the primary"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        cluster.kill(cluster.store.primary())

    def undo(self, cluster: Cluster) -> None:
        mend(cluster, *(member.name for member in cluster.members() if member.role is Role.STORE))


@dataclass(frozen=True)
class FailOver:
    """A replica takes over as planned. Nothing is left to undo."""

    what: str = "fail over, as planned"
    seconds: float = 1.0

    def apply(self, cluster: Cluster) -> None:
        cluster.store.failover()

    def undo(self, cluster: Cluster) -> None:
        """Nothing."""


@dataclass(frozen=True)
class CutReplicas:
    """The replicas lose touch with the primary, which goes on alone; undone by letting them find it again."""

    what: str = "cut the replicas off"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        cluster.store.disconnect_replicas()

    def undo(self, cluster: Cluster) -> None:
        cluster.store.reconnect_replicas()
