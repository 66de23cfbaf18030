"""What a cluster of this machine spends: processor time by role, and what its store is asked."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from deploy import LocalCluster, Role, StoreStatistics


@dataclass(frozen=True)
class Spent:
    """Since everything started: seconds of processor time of all processes of a role, and the store's own count."""

    cpu: Mapping[Role, float]
    store: StoreStatistics | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one request, on average. `cpu` in ms by role; the others are None where the store has no server."""

    cpu: Mapping[str, float]
    commands: Mapping[str, float] | None
    reads: float | None

    @property
    def operations(self) -> float | None:
        """All commands that the store carried out, within scripts too."""
        return None if self.commands is None else sum(self.commands.values())


def spent(cluster: LocalCluster) -> Spent:
    """What it has spent so far. Raises ClusterError."""
    cpu = dict.fromkeys(Role, 0.0)
    for member in cluster.members():
        if member.pid is not None:
            cpu[member.role] += _seconds(member.pid)
    return Spent(cpu, cluster.store.statistics() if cluster.spec.store.needs_redis else None)


def cost(before: Spent, after: Spent, requests: int) -> Cost:
    """What each of `requests` cost between two moments; all zeros for none."""
    share = 1 / requests if requests else 0.0
    cpu = {role.value: (after.cpu[role] - before.cpu[role]) * 1000 * share for role in Role}
    if before.store is None or after.store is None:
        return Cost(cpu=cpu, commands=None, reads=None)
    counts = {name: count - before.store.commands.get(name, 0) for name, count in after.store.commands.items()}
    commands = {name: count * share for name, count in sorted(counts.items()) if count}
    return Cost(cpu=cpu, commands=commands, reads=(after.store.reads - before.store.reads) * share)


def _seconds(pid: int) -> float:
    """Of a process and all below it, in user mode and in the kernel."""
    total = 0.0
    try:
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    except psutil.NoSuchProcess:
        pass  # it ended while it was looked at, which whoever measures learns from its requests
    return total
