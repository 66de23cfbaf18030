"""The Redis of several servers of a cluster in containers: who is the primary, and how another becomes it.

What is asked is asked inside the containers, since their network cannot be reached from everywhere that their engine
can.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from deploy import acl
from deploy.cluster import MemberState
from deploy.container_members import member_name, state_of
from deploy.container_redis import MEMBERS, PORT, SENTINEL_PORT, SENTINELS, STORES
from deploy.engine import Container, Project
from deploy.errors import ClusterError
from deploy.local_sentinel import NAME
from deploy.spec import ClusterSpec, RedisMode

_POLL = 0.1
_PAUSE = 0.5
"""Between two attempts to have a replica take over."""
# The password is never an argument, which everybody on this machine could read.
_ASK = 'REDISCLI_AUTH="$(cat /cluster/{folder}/password)" exec redis-cli -e --raw --user "$0" -p {port} "$@"'


class ContainerStore(Protocol):
    """Every method raises ClusterError."""

    def primary(self) -> str:
        """The name of the primary; of several the first."""

    def fail_over(self) -> None:
        """Returns when a replica has taken over, and the others follow it."""

    def before_restart(self, name: str) -> None:
        """Where this server is a primary and somebody can take over: returns when that is done."""


def store_of(project: Project, spec: ClusterSpec) -> ContainerStore:
    """That of a cluster which runs."""
    match RedisMode.of(spec.store):
        case RedisMode.SENTINEL:
            return _Sentinels(project, spec)
        case RedisMode.CLUSTER:
            return _RedisCluster(project, spec)
        case RedisMode.STANDALONE:
            return _Lone(spec)


class _Lone:
    def __init__(self, spec: ClusterSpec) -> None:
        self._kind = spec.store

    def primary(self) -> str:
        if not self._kind.needs_redis:
            raise ClusterError(f"sessions are in {self._kind}: the store has no server")
        return "store"

    def fail_over(self) -> None:
        raise ClusterError(f"the store has no replica that could take over: it is {self._kind}, alone")

    def before_restart(self, name: str) -> None:
        pass


class _Several:
    """What both kinds have in common. `places`: the last parts of the servers' addresses, by service."""

    def __init__(self, project: Project, spec: ClusterSpec, places: Mapping[str, int]) -> None:
        self._project = project
        self._seconds = spec.start_timeout
        self._names = {str(last): member_name(service, 1) for service, last in places.items()}
        self._places = places

    def _name_at(self, address: str) -> str:
        """Empty for an address that is none of theirs."""
        return self._names.get(address.rpartition(".")[2], "")

    def _running(self, services: Mapping[str, int]) -> list[Container]:
        found = self._project.containers()
        return [one for one in found if one.service in services and state_of(one) is MemberState.RUNNING]

    def _state(self, name: str) -> MemberState:
        found = [one for one in self._project.containers() if one.service in self._places]
        return next(state_of(one) for one in found if _name(one) == name)

    def _ask_all(self, services: Mapping[str, int], *words: str) -> list[tuple[Container, list[str] | None]]:
        """What all who run answer. At once: most of the time that it takes an engine to run a command, it waits."""
        running = self._running(services)
        with ThreadPoolExecutor(len(running) or 1) as pool:
            return list(zip(running, pool.map(lambda one: self._ask(one, *words), running), strict=True))

    def _ask(self, container: Container, *words: str) -> list[str] | None:
        """The lines of the answer; None where there is none, or an error."""
        folder, port = ("sentinels", SENTINEL_PORT) if container.service in SENTINELS else ("servers", PORT)
        command = ("sh", "-c", _ASK.format(folder=folder, port=port), acl.OPERATOR, *words)
        try:
            return self._project.docker("exec", container.id, *command, timeout=5.0).splitlines()
        except ClusterError:
            return None

    def _follow(self, primaries: set[str]) -> bool:
        """Whether exactly these are primaries, and all others who run get what theirs has."""
        for one, lines in self._ask_all(self._places, "INFO", "replication"):
            state = dict(line.split(":", 1) for line in lines or () if ":" in line)
            is_primary = state.get("role") == "master"
            if is_primary is not (_name(one) in primaries):
                return False
            if not is_primary and state.get("master_link_status") != "up":
                return False
        return True

    def _wait(self, otherwise: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._seconds
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise} within {self._seconds:g} s")
            time.sleep(_POLL)


class _Sentinels(_Several):
    def __init__(self, project: Project, spec: ClusterSpec) -> None:
        super().__init__(project, spec, STORES)

    def primary(self) -> str:
        told = [state for state in self._told() if state]
        if not told:
            raise ClusterError("no Sentinel answers")
        return self._name_at(max(told, key=lambda state: int(state["config-epoch"]))["ip"])

    def fail_over(self) -> None:
        before = self.primary()

        def is_done() -> bool:
            if not self._is_settled():
                return False
            if self.primary() != before:
                return True
            # Again where it came to nothing: a Sentinel that has just started is not heard yet, and not elected.
            any(self._ask(one, "SENTINEL", "FAILOVER", NAME) for one in self._running(SENTINELS))
            time.sleep(_PAUSE)
            return False

        self._wait(f"no replica has taken over from {before}", is_done)

    def before_restart(self, name: str) -> None:
        if name not in self._names.values() or self.primary() != name:
            return
        others = [one for one in self._running(STORES) if _name(one) != name]
        if not others or len(self._running(SENTINELS)) <= len(SENTINELS) // 2:
            return
        if self._state(name) is MemberState.RUNNING:
            self.fail_over()
        else:
            self._wait("the Sentinels have made no other primary", lambda: self.primary() != name)

    def _is_settled(self) -> bool:
        told = self._told()
        known = [state for state in told if state]
        if len(known) < len(told) or any("failover_in_progress" in state["flags"] for state in known):
            return False
        primaries = {self._name_at(state["ip"]) for state in known}
        return len(primaries) == 1 and self._follow(primaries)

    def _told(self) -> list[dict[str, str]]:
        """What each Sentinel that runs knows of the primary; empty of one that does not answer."""
        answers = self._ask_all(SENTINELS, "SENTINEL", "MASTER", NAME)
        return [dict(zip(lines[::2], lines[1::2], strict=False)) if lines else {} for _, lines in answers]


class _RedisCluster(_Several):
    def __init__(self, project: Project, spec: ClusterSpec) -> None:
        super().__init__(project, spec, MEMBERS)

    def primary(self) -> str:
        return self._owners()[0][1]

    def fail_over(self) -> None:
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
                return [one for one in self._running(MEMBERS) if _name(one) in names]
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


def _name(server: Container) -> str:
    return member_name(server.service, server.number)
