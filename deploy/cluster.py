"""What can be done to a cluster, whatever it runs on. The demo, load tests and experiments are written against this."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from deploy.link import Link
from deploy.spec import ClusterSpec
from proxy import Balance


class Role(StrEnum):
    """What a member is there for. A store of several servers has several members with a role of their own each."""

    PROXY = "proxy"
    NODE = "node"
    STORE = "store"
    SENTINEL = "sentinel"
    """Looks after the store's servers, and makes one of them the primary when the last one is gone."""


class MemberState(StrEnum):
    RUNNING = "running"
    DRAINED = "drained"
    """Runs, but the proxy sends it nobody new."""
    PAUSED = "paused"
    """Stopped in its tracks: connections to it are accepted by the kernel, and nobody answers."""
    ENDED = "ended"


@dataclass(frozen=True)
class Member:
    """One server of the cluster, as it is now."""

    name: str
    """"proxy", "node-2", "store"; of several "store-1", "sentinel-3"."""
    role: Role
    address: str
    """host:port, as the other members reach it."""
    pid: int | None
    """Of its first process on this machine; None where it has ended."""
    log: str
    """The path of its log, or the command that prints it."""
    state: MemberState


class Cluster(Protocol):
    """A cluster that can be started, changed, broken and mended. Every method raises ClusterError.

    Entering it as a context manager starts it, leaving stops it. One thread at a time.
    """

    @property
    def spec(self) -> ClusterSpec:
        """As it was asked for; what `scale` and `balance` changed since is in `members`, not here."""

    @property
    def url(self) -> str:
        """Where a browser goes: "http://127.0.0.1:8080"."""

    @property
    def users(self) -> Mapping[str, str]:
        """Name -> password, in plain text."""

    def start(self) -> None:
        """Start everything and return when it is ready; when that fails, nothing of it is left."""

    def stop(self) -> None:
        """End everything, paused members too, gracefully at first and by force after some seconds. Never fails for
        what is not there any more."""

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Return when the proxy, the store and every running node answer. Raises after `timeout` seconds."""

    def scale(self, nodes: int) -> None:
        """Have this many nodes. New ones get requests when they are ready. The last ones leave: out of rotation,
        then finished, then stopped, so that no request fails."""

    def kill(self, name: str) -> None:
        """SIGKILL to all of a member's processes. The proxy is not told."""

    def pause(self, name: str) -> None:
        """SIGSTOP to all of a member's processes. The proxy is not told."""

    def resume(self, name: str) -> None:
        """Undo `pause`."""

    def drain(self, name: str) -> None:
        """Take a node out of rotation; it stays up. Under sticky balancing the clients that are pinned to it stay.
        Returns when the proxy has finished what it began before, or after `drain_timeout`."""

    def restart(self, name: str) -> None:
        """From whatever state it is in to running, ready and in rotation. A node that serves is drained and stopped
        gracefully first."""

    def move(self, name: str) -> None:
        """Give a node another address, as an orchestrator does that starts it elsewhere. The proxy is not told. Raises
        where nodes can't have another one."""

    def balance(self, policy: Balance) -> None:
        """Have the proxy choose nodes by another policy from now on; no request fails by it."""

    def configure(self, node_settings: Mapping[str, str]) -> None:
        """More environment for the nodes, over that of the spec, instead of what was configured before. It is taken up
        by each node when it is restarted, and by those that are added."""

    @property
    def link(self) -> Link:
        """The connections between the nodes and the store. Raises for a cluster whose spec asks for no `store_link`."""

    @property
    def store_url(self) -> str:
        """The store's server itself, past any link, with the nodes' user and password. Raises where there is none."""

    def fail_over(self) -> None:
        """Have a replica of the store take over from the primary, as planned. Raises for stores without one."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the proxy's and the store's programs: {"nginx": "1.31.3", "valkey": "9.1.2"}."""

    def cut_replicas(self) -> None:
        """The store's replicas lose touch with the primary and find no way back. Raises for stores without one."""

    def join_replicas(self) -> None:
        """Undo `cut_replicas`."""

    def primary(self) -> str:
        """The name of the member that takes the writes of the store, as those who decide it know by now; of several
        primaries the first. Raises for stores without a server."""

    def members(self) -> tuple[Member, ...]:
        """The proxy, the nodes by number, the store and who looks after it, each as it is now."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
