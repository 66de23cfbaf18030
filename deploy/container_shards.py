"""A Redis Cluster in containers: who its primaries are, and how a replica becomes one."""

import time

from deploy.cluster import MemberState
from deploy.compose.docker import Container, Project
from deploy.container_redis import MEMBERS
from deploy.container_servers import ContainerServers, name_of
from deploy.errors import ClusterError
from deploy.fault_proxy import FaultProxy
from deploy.spec import ClusterSpec

_PAUSE = 0.5
"""Between two attempts to have a replica take over."""


class ContainerShards(ContainerServers):
    def __init__(self, project: Project, spec: ClusterSpec, proxy: FaultProxy | None) -> None:
        super().__init__(project, spec, proxy, MEMBERS)

    def primary(self) -> str:
        return self._owners()[0][1]

    def failover(self) -> None:
        self._hand_over(self.primary())

    def before_restart(self, name: str) -> None:
        if name not in self._names.values() or name not in self._primaries() or not self._heirs(name):
            return
        if self._state(name) is MemberState.RUNNING:
            self._hand_over(name)
        else:
            self._wait("its replica has not taken over", lambda: name not in self._primaries())

    def _hand_over(self, name: str) -> None:
        heirs = self._heirs(name)
        if not heirs:
            raise ClusterError(f"the store does not fail over: the replica of {name} does not run")

        def is_done() -> bool:
            primaries = self._primaries()
            if name not in primaries:
                return self._follow(primaries)
            self._ask(heirs[0], "CLUSTER", "FAILOVER")  # an error while it is not in touch with its primary yet
            time.sleep(_PAUSE)
            return False

        self._wait(f"no replica has taken over from {name}", is_done)

    def _heirs(self, name: str) -> list[Container]:
        """The replicas of this primary that run, by what any server knows."""
        for nodes in self._nodes():
            ids = {node[0] for node in nodes if self._name_at(_host(node)) == name}
            if names := {self._name_at(_host(node)) for node in nodes if node[3] in ids}:
                return [one for one in self._running(MEMBERS) if name_of(one) in names]
        return []

    def _primaries(self) -> set[str]:
        return {name for _, name in self._owners()}

    def _owners(self) -> list[tuple[int, str]]:
        """First slot and name of each primary. Of two that say they have it, the later epoch has."""
        owners: dict[int, tuple[int, str]] = {}
        for nodes in self._nodes():
            for node in nodes:
                name, epoch = self._name_at(_host(node)), int(node[6])
                for slots in node[8:]:
                    first = slots.partition("-")[0]
                    if first.isdecimal():
                        owners[int(first)] = max(owners.get(int(first), (-1, "")), (epoch, name))
        if not owners:
            raise ClusterError("no server of the store answers")
        return [(first, name) for first, (_, name) in sorted(owners.items())]

    def _nodes(self) -> list[list[list[str]]]:
        """The table of each server that runs."""
        answers = self._ask_all(MEMBERS, "CLUSTER", "NODES")
        return [[line.split() for line in lines or () if line.count(" ") >= 7] for _, lines in answers]


def _host(node: list[str]) -> str:
    return node[1].partition(":")[0]
