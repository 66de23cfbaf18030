"""Faults of one member: a node, the store, a Sentinel, the proxy."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from deploy import Cluster
from loadtest.faults.fault import restore


@dataclass(frozen=True)
class MemberFault(ABC):
    """A fault of the member `name`; undone by resuming or restarting it."""

    name: str
    verb: ClassVar[str]
    seconds: ClassVar[float] = 0.1

    @property
    def what(self) -> str:
        return f"{self.verb} {self.name}"

    @abstractmethod
    def apply(self, cluster: Cluster) -> None: ...

    def undo(self, cluster: Cluster) -> None:
        restore(cluster, self.name)


class Kill(MemberFault):
    """SIGKILL to all processes of a member."""

    verb = "kill"

    def apply(self, cluster: Cluster) -> None:
        cluster.kill(self.name)


class Pause(MemberFault):
    """SIGSTOP to all processes of a member: alive and silent."""

    verb = "pause"

    def apply(self, cluster: Cluster) -> None:
        cluster.pause(self.name)


class Move(MemberFault):
    """Give a node another address, for good."""

    verb, seconds = "move", 1.0

    def apply(self, cluster: Cluster) -> None:
        cluster.move(self.name)

    def undo(self, cluster: Cluster) -> None:
        """Do nothing: the way back would be another move."""
