"""Faults of one member: a node, the store, a Sentinel, the proxy."""

import os
import signal
import time
from dataclasses import dataclass

from deploy import Cluster, ClusterError, MemberState
from loadtest.faults.fault import restore

_SECONDS_TO_END = 15.0
_POLL = 0.02


@dataclass(frozen=True)
class Kill:
    """SIGKILL to all processes of a member; undone by a restart."""

    name: str
    seconds: float = 0.1

    @property
    def what(self) -> str:
        return f"kill {self.name}"

    def apply(self, cluster: Cluster) -> None:
        cluster.kill(self.name)

    def undo(self, cluster: Cluster) -> None:
        restore(cluster, self.name)


@dataclass(frozen=True)
class Move:
    """A node is at another address all of a sudden, which is where it stays."""

    name: str
    seconds: float = 1.0

    @property
    def what(self) -> str:
        return f"{self.name} moves"

    def apply(self, cluster: Cluster) -> None:
        cluster.move(self.name)

    def undo(self, cluster: Cluster) -> None:
        pass  # there is no way back that would not be another move


@dataclass(frozen=True)
class Stop:
    """SIGTERM to a member, which ends in its own time, and nobody tells the proxy; undone by a restart."""

    name: str
    seconds: float = 2.0

    @property
    def what(self) -> str:
        return f"stop {self.name}"

    def apply(self, cluster: Cluster) -> None:
        """Returns when it has ended."""
        pid = next((member.pid for member in cluster.members() if member.name == self.name), None)
        if pid is None:
            raise ClusterError(f"{self.name} does not run, so it cannot be stopped")
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError as error:
            raise ClusterError(f"{self.name} (pid {pid}) cannot be stopped: {error.strerror}") from error
        deadline = time.monotonic() + _SECONDS_TO_END
        while self._state(cluster) is not MemberState.ENDED:
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name} did not end within {_SECONDS_TO_END:g} s of being told to")
            time.sleep(_POLL)

    def undo(self, cluster: Cluster) -> None:
        restore(cluster, self.name)

    def _state(self, cluster: Cluster) -> MemberState:
        return next(member.state for member in cluster.members() if member.name == self.name)


@dataclass(frozen=True)
class Pause:
    """SIGSTOP to all processes of a member: alive and silent; undone by SIGCONT."""

    name: str
    seconds: float = 0.1

    @property
    def what(self) -> str:
        return f"pause {self.name}"

    def apply(self, cluster: Cluster) -> None:
        cluster.pause(self.name)

    def undo(self, cluster: Cluster) -> None:
        restore(cluster, self.name)


@dataclass(frozen=True)
class Drain:
    """Out of rotation, and idle; undone by a restart, which puts it back."""

    name: str
    seconds: float = 1.0

    @property
    def what(self) -> str:
        return f"drain {self.name}"

    def apply(self, cluster: Cluster) -> None:
        cluster.drain(self.name)

    def undo(self, cluster: Cluster) -> None:
        restore(cluster, self.name)
