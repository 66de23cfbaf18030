"""Faults of one member: a node, the store, a Sentinel, the proxy; and of all servers of the store."""

from collections.abc import Callable

from deploy import Cluster, Role
from loadtest.faults.fault import Ability, Fault, Need, restore


def kill(name: str) -> Fault:
    """SIGKILL to all processes of a member."""
    return Fault(
        what=f"kill {name}",
        apply=lambda cluster: cluster.kill(name),
        undo=lambda cluster: restore(cluster, name),
        needs=(Need(Ability.KILL, name),),
    )


def pause(name: str) -> Fault:
    """SIGSTOP to all processes of a member: alive and silent."""
    return Fault(
        what=f"pause {name}",
        apply=lambda cluster: cluster.pause(name),
        undo=lambda cluster: restore(cluster, name),
        needs=(Need(Ability.PAUSE, name),),
    )


def move(name: str) -> Fault:
    """Another address of a node, for good: the way back would be another move."""
    return Fault(
        what=f"move {name}",
        seconds=1.0,
        apply=lambda cluster: cluster.move(name),
        needs=(Need(Ability.MOVE, name),),
    )


def _find_stores(cluster: Cluster) -> list[str]:
    return [member.name for member in cluster.members() if member.role is Role.STORE]


def _on_stores(what: str, ability: Ability, change: Callable[[Cluster, str], None]) -> Fault:
    def apply(cluster: Cluster) -> None:
        for name in _find_stores(cluster):
            change(cluster, name)

    return Fault(
        what=what,
        apply=apply,
        undo=lambda cluster: restore(cluster, *_find_stores(cluster)),
        needs=(Need(ability, Role.STORE),),
    )


PAUSE_STORE = _on_stores("pause the store", Ability.PAUSE, lambda cluster, name: cluster.pause(name))
"""SIGSTOP to all servers of the store: nothing answers, and it keeps its data."""

KILL_STORE = _on_stores("kill the store", Ability.KILL, lambda cluster, name: cluster.kill(name))
"""SIGKILL to all servers of the store: it loses what it has not written down."""
