"""The protocol of faults, a sequence of faults, and the repair of members."""

import time
from dataclasses import dataclass
from typing import Protocol

from deploy import Cluster, ClusterError, MemberState


class Fault(Protocol):
    """A change of a cluster that can be undone. `apply` and `undo` raise ClusterError.

    A fault is data: it remembers nothing of the cluster. `undo` is called in any case, also where `apply` failed
    half-way or was never called, so it repairs only what is broken.
    """

    @property
    def what(self) -> str:
        """Name of the fault in the progress line and the report: "kill node-2"."""

    @property
    def seconds(self) -> float:
        """About how long `apply` takes, for the progress line; 0 for a fault that does nothing."""

    def apply(self, cluster: Cluster) -> None: ...

    def undo(self, cluster: Cluster) -> None: ...


@dataclass(frozen=True)
class Nothing:
    """No fault."""

    what: str = "nothing"
    seconds: float = 0.0

    def apply(self, cluster: Cluster) -> None:
        """Do nothing."""

    def undo(self, cluster: Cluster) -> None:
        """Do nothing."""


NOTHING = Nothing()


@dataclass(frozen=True)
class FaultSequence:
    """Several faults, each `pause` seconds after the one before; undone in reverse order."""

    faults: tuple[Fault, ...]
    pause: float = 0.0

    @property
    def what(self) -> str:
        return ", ".join(fault.what for fault in self.faults)

    @property
    def seconds(self) -> float:
        return sum(fault.seconds for fault in self.faults) + self.pause * (len(self.faults) - 1)

    def apply(self, cluster: Cluster) -> None:
        for number, fault in enumerate(self.faults):
            if number:
                time.sleep(self.pause)
            fault.apply(cluster)

    def undo(self, cluster: Cluster) -> None:
        """Undo all of them, even if one undo fails; then raise the first error."""
        errors = []
        for fault in reversed(self.faults):
            try:
                fault.undo(cluster)
            except ClusterError as error:
                errors.append(error)
        if errors:
            raise errors[0]


def restore(cluster: Cluster, *names: str) -> None:
    """Resume members that are paused, and restart those that have ended or are drained; all members without `names`.

    Resume paused members first, because a restarted one may need their answers.
    """
    broken = {member.name: member.state for member in cluster.members() if not names or member.name in names}
    for name, state in broken.items():
        if state is MemberState.PAUSED:
            cluster.resume(name)
    for name, state in broken.items():
        if state in {MemberState.ENDED, MemberState.DRAINED}:
            cluster.restart(name)
