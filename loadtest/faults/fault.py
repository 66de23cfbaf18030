"""What a fault is, and how several make one."""

import time
from dataclasses import dataclass
from typing import Protocol

from deploy import Cluster, ClusterError, MemberState


class Fault(Protocol):
    """Something that is done to a cluster, and undone. Both raise ClusterError.

    A fault is data: it remembers nothing of the cluster that it was applied to. `undo` is called in any case, also
    where `apply` failed half-way or was never called, so it puts right what is wrong and leaves alone what is not.
    """

    @property
    def what(self) -> str:
        """In a few words, "kill node-2"; people read it in the progress and in the report."""

    @property
    def seconds(self) -> float:
        """About how long `apply` takes; for telling the time that is left, and for nothing else."""

    def apply(self, cluster: Cluster) -> None: ...

    def undo(self, cluster: Cluster) -> None: ...


@dataclass(frozen=True)
class Nothing:
    """No fault: what is to be seen happens by itself."""

    what: str = "nothing"
    seconds: float = 0.0

    def apply(self, cluster: Cluster) -> None:
        """Nothing."""

    def undo(self, cluster: Cluster) -> None:
        """Nothing."""


NOTHING = Nothing()


@dataclass(frozen=True)
class FaultSequence:
    """Several faults, one after the other, each `pause` seconds after the one before; undone the other way round."""

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
        """All of them, even where one cannot be; then it raises the first error."""
        errors = []
        for fault in reversed(self.faults):
            try:
                fault.undo(cluster)
            except ClusterError as error:
                errors.append(error)
        if errors:
            raise errors[0]


def restore(cluster: Cluster, *names: str) -> None:
    """Have these members run, or all where none is named: resumed if paused, restarted if ended or drained.

    Paused ones first: whoever is restarted may have to hear from them.
    """
    broken = {member.name: member.state for member in cluster.members() if not names or member.name in names}
    for name, state in broken.items():
        if state is MemberState.PAUSED:
            cluster.resume(name)
    for name, state in broken.items():
        if state in {MemberState.ENDED, MemberState.DRAINED}:
            cluster.restart(name)
