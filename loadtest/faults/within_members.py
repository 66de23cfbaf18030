"""Faults of the processes within members: for clusters of local processes alone."""

import time

import psutil

from deploy import Cluster, ClusterError, Role
from loadtest.faults.fault import Ability, Fault, Need

_NEEDS = (Need(Ability.OWN_PROCESSES),)


def _processes(cluster: Cluster, role: Role | None = None) -> list[psutil.Process]:
    """Return the first process of each member that runs."""
    members = [member for member in cluster.members() if role in (None, member.role) and member.pid is not None]
    if not members:
        raise ClusterError("the processes of this cluster cannot be reached: they must be local")
    return [psutil.Process(member.pid) for member in members]


def _use_one_core(cluster: Cluster) -> None:
    core = min(psutil.Process().cpu_affinity())
    for process in _processes(cluster):
        for each in (process, *process.children(recursive=True)):
            each.cpu_affinity([core])


ONE_CORE = Fault(what="confine the cluster to one core", apply=_use_one_core, needs=_NEEDS)
"""Let all processes of the cluster share one core, and leave the others to the load generator. Linux only. It is not
undone."""


def _kill_proxy_worker(cluster: Cluster) -> None:
    (proxy,) = _processes(cluster, Role.PROXY)
    workers = proxy.children()
    if not workers:
        raise ClusterError("the proxy has no worker to kill")
    workers[0].kill()


KILL_PROXY_WORKER = Fault(what="kill a worker of the proxy", apply=_kill_proxy_worker, needs=_NEEDS)
"""SIGKILL to an nginx worker, whose connections break. The master replaces it."""


def kill_workers(rounds: int, interval: float) -> Fault:
    """SIGKILL to one of the several workers of each node in turn, `interval` seconds apart. gunicorn replaces them."""

    def apply(cluster: Cluster) -> None:
        for _ in range(rounds):
            for node in _processes(cluster, Role.NODE):
                oldest, *others = sorted(node.children(), key=lambda worker: worker.create_time())
                assert others, "nodes with one worker cannot lose it and serve"
                oldest.kill()
                time.sleep(interval)

    what = f"kill a worker every {interval:g} s"
    return Fault(what=what, seconds=rounds * 3 * interval, apply=apply, needs=_NEEDS)
