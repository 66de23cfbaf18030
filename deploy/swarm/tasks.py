"""The containers of a stack on several machines, and the members of a cluster that they are."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.cluster import Member, MemberState, Role
from deploy.compose.docker import STATES, parse_addresses
from deploy.compose.services import SERVICES
from deploy.spec import ClusterError

_SERVICE_LABEL, _TASK_LABEL = "com.docker.swarm.service.name", "com.docker.swarm.task.name"

Key = tuple[str, int, str]


@dataclass(frozen=True)
class TaskContainer:
    """The container of a task. Another one takes its place when it has ended."""

    id: str
    name: str
    service: str
    slot: int
    """The number among the tasks of the service; 0 for one on each machine."""
    machine: str
    state: MemberState
    healthy: bool
    """By the health check of stack.yaml, which runs every two seconds."""
    pid: int | None
    """Of its first process, as this machine knows it."""
    addresses: Mapping[str, str]
    """Network (without the stack's name) -> IP address."""
    created: str

    @property
    def key(self) -> Key:
        """What it shares with the containers that it replaces."""
        return self.service, self.slot, "" if self.slot else self.machine

    @property
    def serves(self) -> bool:
        """Return whether it runs and passes its health check."""
        return self.state is MemberState.RUNNING and self.healthy


def parse_container(stack: str, machine: str, inspected: Mapping[str, Any], pid: int | None) -> TaskContainer:
    """Return the container that an engine describes so."""
    labels = inspected["Config"]["Labels"]
    slot = labels[_TASK_LABEL].split(".")[1]
    return TaskContainer(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        service=labels[_SERVICE_LABEL].removeprefix(f"{stack}_"),
        slot=int(slot) if slot.isdecimal() else 0,
        machine=machine,
        state=STATES.get(inspected["State"]["Status"], MemberState.ENDED),
        healthy=inspected["State"].get("Health", {}).get("Status") == "healthy",
        pid=pid,
        addresses=parse_addresses(stack, inspected),
        created=inspected["Created"],
    )


def choose(containers: Iterable[TaskContainer], unreachable: Collection[str]) -> dict[Key, TaskContainer]:
    """Return the container of each task: the newest that is not on an unreachable machine and has not ended, or else
    the newest."""
    chosen: dict[Key, TaskContainer] = {}
    ranked = sorted(
        containers,
        key=lambda one: (one.machine not in unreachable, one.state is not MemberState.ENDED, one.created),
    )
    for one in ranked:
        chosen[one.key] = one
    return chosen


def find_tasks(
    containers: Iterable[TaskContainer], unreachable: Collection[str], slots: Collection[int], proxies: Collection[str]
) -> dict[str, TaskContainer | None]:
    """Return name -> container of each member, in the order of `Cluster.members`; None where Swarm has made none yet.

    `slots` are those of the nodes, `proxies` the machines with a proxy: empty for one proxy on any of them.
    """
    chosen = choose(containers, unreachable)
    found: dict[str, TaskContainer | None] = {}
    if proxies:
        for machine in proxies:
            found[f"proxy-{machine.rpartition('-')[2]}"] = chosen.get(("proxy", 0, machine))
    else:
        found["proxy"] = chosen.get(("proxy", 1, ""))
    for slot in sorted(slots):
        found[f"node-{slot}"] = chosen.get(("node", slot, ""))
    found["store"] = chosen.get(("redis", 1, ""))
    return found


def find_replaced(
    containers: Iterable[TaskContainer], tasks: Iterable[TaskContainer | None], unreachable: Collection[str]
) -> tuple[TaskContainer, ...]:
    """Return the containers that run, although another one has taken their place: on a machine that was away, until its
    engine hears of it. They may lack their networks."""
    kept = {one.id for one in tasks if one is not None}
    running = (one for one in containers if one.state is MemberState.RUNNING and one.machine not in unreachable)
    return tuple(one for one in running if one.id not in kept)


def make_member(name: str, task: TaskContainer | None, unreachable: Collection[str], drained: bool) -> Member:
    """Return a task as a member of the cluster."""
    role = Role(name.partition("-")[0])
    service = SERVICES["redis" if role is Role.STORE else role.value]
    if task is None:
        return Member(name, role, "", None, "docker service logs", MemberState.ENDED)
    state = task.state
    if state is not MemberState.ENDED and task.machine in unreachable:
        state = MemberState.SILENT
    address = task.addresses.get("store" if role is Role.STORE else "app", "")
    return Member(
        name=name,
        role=role,
        address=f"{address}:{service.port}" if address and state is not MemberState.ENDED else "",
        pid=task.pid if state is not MemberState.ENDED else None,
        log=f"docker logs {task.name}",
        state=MemberState.DRAINED if drained and state is MemberState.RUNNING else state,
    )


def require(name: str, task: TaskContainer | None) -> TaskContainer:
    """Return the container of a member. Raises ClusterError if it has none at this moment."""
    if task is None:
        raise ClusterError(f"{name} has no container at this moment: Swarm has not started it yet")
    return task
