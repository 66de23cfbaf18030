"""A cluster without processes: members change their state as those of a real one do. Nothing can be asked of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deploy import ClusterError, ClusterSpec, Member, MemberState, Role
from deploy.base import BaseCluster
from deploy.store_control import BaseStoreControl
from proxy import Balance, UpstreamServer


class FakeProxy:
    """Accepts every change."""

    def install(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None: ...

    def wait_finished(self) -> None: ...


class FakeNetwork:
    """The proxy to the store; `mode` is what was asked last."""

    mode = "up"

    def latency(self, seconds: float) -> None:
        self.mode = "slow"

    def blackhole(self, user: str = "") -> None:
        self.mode = "silent"

    def down(self) -> None:
        self.mode = "cut"

    def reset(self) -> None:
        self.mode = "up"

    def close(self) -> None: ...


class FakeStore(BaseStoreControl):
    """Promotes nothing; `failovers` counts what was asked."""

    failovers = 0

    def failover(self) -> None:
        self.failovers += 1


class FakeCluster(BaseCluster):
    """`broken` makes the start fail, with this reason."""

    def __init__(self, spec: ClusterSpec, broken: str = "") -> None:
        super().__init__(spec)
        self._proxy = FakeProxy()
        self._members: dict[str, Member] = {}
        self._broken = broken
        self.network = FakeNetwork()
        self._control = FakeStore(spec.store)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:1"

    @property
    def authority(self) -> Path | None:
        return None

    @property
    def versions(self) -> Mapping[str, str]:
        return {}

    @property
    def store(self) -> BaseStoreControl:
        self._control.fault_proxy = self.network  # type: ignore[assignment]
        return self._control

    def members(self) -> tuple[Member, ...]:
        states = [
            (one, one.name in self._states and one.state is MemberState.RUNNING) for one in self._members.values()
        ]
        members = [replace(one, state=MemberState.DRAINED) if drained else one for one, drained in states]
        return tuple(sorted(members, key=lambda one: list(Role).index(one.role)))

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        self._find(name)
        return (f"<b>{name}</b> & its log",)

    def wait_ready(self, timeout: float = 30.0) -> None: ...

    def move(self, name: str) -> None: ...

    def configure(self, node_settings: Mapping[str, str]) -> None: ...

    def stop(self) -> None:
        self._members.clear()

    def _is_started(self) -> bool:
        return bool(self._members)

    def _start(self) -> None:
        if self._broken:
            raise ClusterError(self._broken)
        self._add("proxy", Role.PROXY)
        self._add_nodes(self.spec.nodes)
        several = self.spec.store.has_several_servers
        for name in ("store-1", "store-2", "store-3") if several else ("store",) if self.spec.store.needs_redis else ():
            self._add(name, Role.STORE)

    def _add_nodes(self, count: int) -> None:
        first = len(self._node_names()) + 1
        for number in range(first, first + count):
            self._add(f"node-{number}", Role.NODE)

    def _remove_nodes(self, names: Collection[str]) -> None:
        for name in names:
            del self._members[name]

    def _kill(self, name: str) -> None:
        self._set(name, MemberState.ENDED)

    def _pause(self, name: str) -> None:
        self._set(name, MemberState.PAUSED)

    def _resume(self, name: str) -> None:
        self._set(name, MemberState.RUNNING)

    def _restart(self, name: str) -> None:
        self._set(name, MemberState.RUNNING)

    def _describe(self) -> None: ...

    def _add(self, name: str, role: Role) -> None:
        port = 9000 + len(self._members)
        self._members[name] = Member(name, role, f"127.0.0.1:{port}", port, "", MemberState.RUNNING)

    def _set(self, name: str, state: MemberState) -> None:
        self._members[name] = replace(self._members[name], state=state)
