"""The operations that every cluster does in the same way, whether its members are processes or containers."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, Self

from deploy.cluster import MachineControl, Member, MemberState, Role
from deploy.fault_proxy import FaultProxy
from deploy.ports import require_free
from deploy.spec import ClusterError, ClusterSpec, Discovery, check_nodes
from deploy.store_control import BaseStoreControl
from proxy import Balance, ServerState, UpstreamServer

_SERVES = {MemberState.RUNNING, MemberState.DRAINED}
_MAY_ANSWER = {MemberState.RUNNING, MemberState.UNKNOWN}


class Proxy(Protocol):
    """The proxy of a cluster. It may find nodes by itself; then it gets only those that are in rotation."""

    def install(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None:
        """Send requests to these nodes. Raises ClusterError if the proxy refuses that, without effect."""

    def wait_finished(self) -> None:
        """Block until the requests from before the last change are finished, or for `drain_timeout`."""


class BaseCluster(ABC):
    """Part of a `deploy.Cluster`: it checks each change, keeps the proxy's rotation, and orders the steps."""

    _proxy: Proxy
    _policy: Balance
    _states: Mapping[str, ServerState]
    """The nodes that are not simply in rotation. Each change replaces it, since other threads read it."""

    def __init__(self, spec: ClusterSpec) -> None:
        self.spec = spec
        self.users: Mapping[str, str] = {}
        self._fault_proxy: FaultProxy | None = None
        self._reset()

    @property
    def policy(self) -> Balance:
        return self._policy

    @property
    def node_count(self) -> int:
        return len(self._node_names())

    @property
    def node_environment(self) -> Mapping[str, str]:
        raise ClusterError("the nodes' store can be reached from their containers only")

    @property
    def machines(self) -> MachineControl:
        raise ClusterError("the cluster runs on this machine alone: only a cluster on Swarm has several")

    def roll_out(self, *, broken: bool = False) -> None:
        release = "a broken release" if broken else "a release"
        raise ClusterError(f"{release} cannot be rolled out: nothing but Swarm replaces nodes")

    @property
    @abstractmethod
    def store(self) -> BaseStoreControl: ...

    @abstractmethod
    def members(self) -> tuple[Member, ...]: ...

    @abstractmethod
    def log_lines(self, name: str, count: int) -> tuple[str, ...]: ...

    def exit_reason(self, _name: str) -> str:
        return ""

    def start(self) -> None:
        if self._is_started():
            raise ClusterError("the cluster is running already")
        if self.spec.port:
            require_free(self.spec.port)
        try:
            self._start()
        except BaseException as error:  # Ctrl-C too: a start that fails leaves nothing.
            try:
                self.stop()
            except ClusterError as left:
                if not isinstance(error, ClusterError):
                    raise
                raise ClusterError(f"{error}; and not all of it could be ended: {left}") from error
            raise

    @abstractmethod
    def stop(self) -> None: ...

    def scale(self, nodes: int) -> None:
        check_nodes(nodes)
        self._require_proxy()
        names = self._node_names()
        if nodes > len(names):
            try:
                self._add_nodes(nodes - len(names))
                self._change_proxy()
            except ClusterError:
                if added := [name for name in self._node_names() if name not in names]:
                    self._remove_nodes(added)
                raise
        elif leaving := names[nodes:]:
            self._change_proxy(without=leaving)
            self._proxy.wait_finished()
            self._remove_nodes(leaving)
            self._states = {name: state for name, state in self._states.items() if name not in leaving}
        self._describe()

    def kill(self, name: str) -> None:
        if self._find(name).state is not MemberState.ENDED:
            self._kill(name)
        self._describe()

    def pause(self, name: str) -> None:
        state = self._find(name).state
        if state is MemberState.ENDED:
            raise ClusterError(f"{name} has ended and cannot be paused: restart it first")
        if state is not MemberState.PAUSED:
            self._pause(name)
        self._describe()

    def resume(self, name: str) -> None:
        if self._find(name).state is MemberState.PAUSED:
            self._resume(name)
        self._describe()

    def drain(self, name: str) -> None:
        self._require_node(name)
        self._require_proxy()
        if not self._has_others(name):
            raise ClusterError(f"{name} cannot be drained: no other node is in rotation")
        self._set_state(name, ServerState.DRAIN)
        self._describe()

    def restart(self, name: str) -> None:
        member = self._find(name)
        if member.role is Role.NODE:
            self._require_proxy()
            if member.state in _SERVES and self._has_others(name):
                self._set_state(name, ServerState.DOWN)
        elif member.role is Role.STORE:
            self.store.prepare_restart(name)
        self._restart(name)
        if member.role is Role.NODE:
            # Even if it never left: it may have another address, and by the reload the proxy forgets that it failed.
            self._set_state(name, ServerState.UP)
        self._describe()

    def balance(self, policy: Balance) -> None:
        self._require_proxy()
        self._change_proxy(policy=policy)
        self._describe()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @abstractmethod
    def _is_started(self) -> bool: ...

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _add_nodes(self, count: int) -> None:
        """Start `count` more nodes, and return when they are ready."""

    @abstractmethod
    def _remove_nodes(self, names: Collection[str]) -> None:
        """Stop nodes for good, first gracefully and after `drain_timeout` by force."""

    @abstractmethod
    def _kill(self, name: str) -> None:
        """Kill a member that may be paused."""

    @abstractmethod
    def _pause(self, name: str) -> None: ...

    @abstractmethod
    def _resume(self, name: str) -> None: ...

    @abstractmethod
    def _restart(self, name: str) -> None:
        """Stop a member in any state, first gracefully and after `drain_timeout` by force. Start it, and return when it
        is ready."""

    @abstractmethod
    def _describe(self) -> None:
        """Publish the current state of the cluster; called after each change."""

    def _reset(self) -> None:
        """Forget all changes of the proxy, and end the fault proxy."""
        self._policy = self.spec.balance
        self._states = {}
        if self._fault_proxy is not None:
            self._fault_proxy.close()
        self._fault_proxy = None

    def _set_state(self, name: str, state: ServerState) -> None:
        """Change the state of a node. If it leaves the rotation, block until its requests are finished, or for
        `drain_timeout`."""
        states = {other: old for other, old in self._states.items() if other != name}
        if state is ServerState.UP:
            self._change_proxy(states=states)
        else:
            self._change_proxy(states={**states, name: state})
            self._proxy.wait_finished()

    def _change_proxy(
        self,
        *,
        policy: Balance | None = None,
        states: Mapping[str, ServerState] | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Change the policy or the states of nodes that are not simply in rotation, and renew the list of nodes."""
        policy = self._policy if policy is None else policy
        states = self._states if states is None else states
        if self.spec.discovery is Discovery.DNS and (states or without):
            name = (*without, *states)[0]
            raise ClusterError(f"{name} cannot be drained: the proxy finds nodes by DNS; use Discovery.LIST")
        nodes = [
            UpstreamServer(member.address, member.name, states.get(member.name, ServerState.UP))
            for member in self.members()
            if member.role is Role.NODE and member.address and member.name not in without
        ]
        self._proxy.install(nodes, policy)
        self._policy, self._states = policy, states

    def _node_names(self) -> list[str]:
        return [member.name for member in self.members() if member.role is Role.NODE]

    def _has_others(self, name: str) -> bool:
        """Return whether any other node is in rotation and may answer."""
        nodes = [member for member in self.members() if member.role is Role.NODE and member.name != name]
        return any(one.state in _MAY_ANSWER and one.name not in self._states for one in nodes)

    def _find(self, name: str) -> Member:
        members = {member.name: member for member in self.members()}
        if name not in members:
            raise ClusterError(f"the cluster has no member {name!r}: it has {', '.join(members)}")
        return members[name]

    def _require_node(self, name: str) -> None:
        if self._find(name).role is not Role.NODE:
            raise ClusterError(f"{name} is not a node")

    def _require_proxy(self) -> None:
        state = self._find("proxy").state
        if state is not MemberState.RUNNING:
            raise ClusterError(f"the proxy is {state}, so it cannot be changed: restart it first")
