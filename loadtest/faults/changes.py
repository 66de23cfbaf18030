"""Operations on a serving cluster: restart, deploy, reload, scale."""

import time
from collections.abc import Mapping

from deploy import Cluster, Role
from loadtest.faults.fault import Ability, Fault, Need, restore

_SECONDS_TO_RESTART = 4.0
"""For one node on two busy cores: drain, stop, start, ready."""


def rolling_restart(nodes: int) -> Fault:
    """Drain, stop and start all nodes, one after the other."""
    return Fault(
        what="restart all nodes, one by one",
        seconds=nodes * _SECONDS_TO_RESTART,
        apply=_restart_nodes,
        undo=restore,
        needs=(Need(Ability.RESTART, Role.NODE),),
    )


def rolling_deploy(nodes: int, *stages: Mapping[str, str], pause: float = 0.0) -> Fault:
    """Deploy new settings several times, each time node by node, `pause` seconds apart.

    It is not undone: only the last deployment can read what it wrote. Nodes that do not run are started.
    """

    def apply(cluster: Cluster) -> None:
        for settings in stages:
            cluster.configure(settings)
            _restart_nodes(cluster, pause)

    return Fault(
        what="deploy, one node at a time",
        seconds=len(stages) * (nodes * _SECONDS_TO_RESTART + (nodes - 1) * pause),
        apply=apply,
        undo=restore,
        needs=(Need(Ability.CONFIGURE),),
    )


def reload(times: int) -> Fault:
    """Reload the proxy several times in a row."""

    def apply(cluster: Cluster) -> None:
        for _ in range(times):
            cluster.balance(cluster.spec.balance)

    needs = (Need(Ability.RELOAD),)
    return Fault(what=f"reload the proxy {times} times", seconds=0.4 * times, apply=apply, needs=needs)


def scale(nodes: int) -> Fault:
    """Change the number of nodes; undone by returning to that of the spec."""
    return Fault(
        what=f"scale to {nodes} nodes",
        seconds=2.5,
        apply=lambda cluster: cluster.scale(nodes),
        undo=lambda cluster: cluster.scale(cluster.spec.nodes),
        needs=(Need(Ability.SCALE),),
    )


def _restart_nodes(cluster: Cluster, pause: float = 0.0) -> None:
    """Restart all nodes, by number."""
    names = [member.name for member in cluster.members() if member.role is Role.NODE]
    for number, name in enumerate(names):
        if number:
            time.sleep(pause)
        cluster.restart(name)
