"""The protocols of a cluster and of its store, for the demo, load tests and experiments."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

from deploy.fault_proxy import FaultProxy
from deploy.spec import ClusterSpec
from proxy import Balance


class Role(StrEnum):
    """The role of a member. Each server of the store is a member."""

    PROXY = "proxy"
    NODE = "node"
    STORE = "store"
    SENTINEL = "sentinel"
    """Watches the store's servers, and promotes a replica when the primary is down."""


class MemberState(StrEnum):
    """The state of a member."""

    RUNNING = "running"
    DRAINED = "drained"
    """Runs, but gets no new clients from the proxy."""
    PAUSED = "paused"
    """Stopped by a signal: the kernel still accepts connections to it, but no request is answered."""
    ENDED = "ended"
    SILENT = "silent"
    """It is there and does not answer: it is paused or hangs, as far as a cluster can tell that is only watched."""
    UNKNOWN = "unknown"
    """It can't be looked at from here."""


@dataclass(frozen=True)
class Member:
    """One server of the cluster and its current state."""

    name: str
    """"proxy", "node-2", "store"; "store-1", "sentinel-3" where there are several."""
    role: Role
    address: str
    """host:port, as the other members reach it."""
    pid: int | None
    """The id of its first process on this machine; None if it has ended."""
    log: str
    """The path of its log, or the command that prints it."""
    state: MemberState
    own_name: str = ""
    """What its own system calls it, where that is another name."""


@dataclass(frozen=True)
class StoreStatistics:
    """Counters of a store since its servers started."""

    commands: Mapping[str, int]
    """Calls of each command ("hgetall": 12), scripts included. Not counted are commands of a connection, commands about
    the server itself, and commands between servers."""
    reads: int
    """Reads from clients, one for each pipeline: about the number of round trips. With several servers this includes
    their messages to each other."""

    def __add__(self, other: Self) -> Self:
        names = sorted({*self.commands, *other.commands})
        commands = {name: self.commands.get(name, 0) + other.commands.get(name, 0) for name in names}
        return replace(self, commands=commands, reads=self.reads + other.reads)


class StoreControl(Protocol):
    """Control of a cluster's store. Every method and property raises ClusterError if the store does not support it.

    `primaries` and `statistics` may be called from any thread, like `Cluster.members`.
    """

    @property
    def url(self) -> str:
        """The URL of the only server, past any proxy, with the nodes' user and password."""

    @property
    def proxy(self) -> FaultProxy:
        """The connections between the nodes and the store. Raises unless the spec asks for `store_proxy`."""

    def proxy_of(self, member: str) -> FaultProxy:
        """The connections of nodes, Sentinels and replicas to this server. Raises unless the spec asks for
        `store_proxy` before several servers."""

    def primary(self) -> str:
        """Return the name of the primary, as reported by its Sentinels or servers; in a Redis Cluster that of the first
        shard."""

    def primaries(self) -> frozenset[str]:
        """Return the names of all primaries: one, or one for each shard of a Redis Cluster."""

    def failover(self) -> None:
        """Promote a replica of the primary. Block until every Sentinel (or server) reports the new primary."""

    def disconnect_replicas(self) -> None:
        """Disconnect all replicas from the primary, until `reconnect_replicas`."""

    def reconnect_replicas(self) -> None:
        """Undo `disconnect_replicas`."""

    def fill_disk(self) -> None:
        """Fill the file system of the sessions, until `free_disk`. Raises unless the spec asks for a `store_disk`."""

    def free_disk(self) -> None:
        """Undo `fill_disk`."""

    def statistics(self) -> StoreStatistics:
        """Return the sum of the primaries' counters since they started."""


class MachineControl(Protocol):
    """Control of the machines that a cluster runs on. Every method raises ClusterError."""

    @property
    def names(self) -> tuple[str, ...]:
        """ "machine-1" and so on. The store is on the first one."""

    def cut_off(self, name: str) -> None:
        """Pull the cable of a machine: nothing reaches it any longer, and no other machine is told."""

    def connect(self, name: str) -> None:
        """Undo `cut_off`."""

    def kill(self, name: str) -> None:
        """Switch a machine off, as a power failure does."""

    def switch_on(self, name: str) -> None:
        """Start a machine that is off, with its disk. Return when its engine answers."""

    def drain(self, name: str) -> None:
        """Let the orchestrator run nothing on a machine: what is there is started elsewhere."""

    def undrain(self, name: str) -> None:
        """Undo `drain`: the machine may be used again."""

    def isolate_manager(self, name: str) -> None:
        """Drop what the manager of a machine and the others send each other; its containers and their network go on."""

    def rejoin_manager(self, name: str) -> None:
        """Undo `isolate_manager`."""

    def has_quorum(self) -> bool:
        """Return whether the managers can change anything."""

    def restore(self) -> None:
        """Undo all of the above, on every machine."""


class Cluster(Protocol):
    """A cluster that can be started, changed, broken and repaired. Every method raises ClusterError.

    Entering it as a context manager starts it, leaving stops it. Call it from one thread at a time, except `members`
    and `log_lines`.
    """

    @property
    def spec(self) -> ClusterSpec:
        """The spec it was made from; `policy` and `node_count` have the current values."""

    @property
    def url(self) -> str:
        """The address for a browser: "http://127.0.0.1:8080"."""

    @property
    def authority(self) -> Path | None:
        """The certificate (PEM) that a client has to trust to reach `url`; None without TLS."""

    @property
    def users(self) -> Mapping[str, str]:
        """Name -> password, in plain text."""

    @property
    def node_environment(self) -> Mapping[str, str]:
        """The variables that its nodes share, secrets included: `nodes.settings` reads them, and a program can make the
        nodes' store of them. Raises where this process can't reach that store. May be read from any thread."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the proxy's and the store's programs: {"nginx": "1.31.3", "valkey": "9.1.2"}."""

    @property
    def policy(self) -> Balance:
        """The current balancing policy."""

    @property
    def node_count(self) -> int:
        """The current number of nodes, in whatever state they are."""

    @property
    def store(self) -> StoreControl:
        """Control of the store."""

    @property
    def machines(self) -> MachineControl:
        """Control of its machines. Raises unless it runs on several."""

    def start(self) -> None:
        """Start everything and return when it is ready. After a failure no process is left."""

    def stop(self) -> None:
        """End everything, paused members too, first gracefully and after some seconds by force. Members that have
        ended already are not an error."""

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Return when the proxy, the store and every running node answer. Raises after `timeout` seconds."""

    def scale(self, nodes: int) -> None:
        """Change the number of nodes. New nodes get requests when they are ready. The last ones leave without a failed
        request: they are taken out of rotation, finish their requests, and are stopped."""

    def kill(self, name: str) -> None:
        """Send SIGKILL to all processes of a member, without telling the proxy."""

    def pause(self, name: str) -> None:
        """Send SIGSTOP to all processes of a member, without telling the proxy."""

    def resume(self, name: str) -> None:
        """Undo `pause`."""

    def drain(self, name: str) -> None:
        """Take a node out of rotation; it stays up. Under sticky balancing the clients that are pinned to it stay.
        Block until the proxy has finished its earlier requests, at most for `drain_timeout`."""

    def restart(self, name: str) -> None:
        """Restart a member from any state, and return when it is ready and in rotation. A serving node is drained and
        stopped gracefully first; a primary fails over first."""

    def move(self, name: str) -> None:
        """Give a node another address without telling the proxy, like an orchestrator that starts it elsewhere.
        Raises where nodes cannot have another address."""

    def balance(self, policy: Balance) -> None:
        """Change the balancing policy; no request fails."""

    def configure(self, node_settings: Mapping[str, str]) -> None:
        """Set environment variables of the nodes, on top of those of the spec and instead of those of an earlier call.
        A node takes them when it starts or restarts; it runs the present code then (see `ClusterSpec.revision`)."""

    def roll_out(self, *, broken: bool = False) -> None:
        """Replace the image of the nodes, as a new release does, and return when the orchestrator has done so. One that
        is `broken` does not start: the orchestrator goes back to the one before, and this raises. Raises where there is
        no orchestrator."""

    def members(self) -> tuple[Member, ...]:
        """Return the current state of the proxy, the nodes by number, the store's servers and its Sentinels. May be
        called from any thread, also while another call changes the cluster."""

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        """Return the last lines of a member's log, at most `count`, also of one that has ended."""

    def exit_reason(self, name: str) -> str:
        """Return how a member has ended: "exit status 3" or "killed by SIGKILL"; empty where that is not known."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
