"""Faults of one member: a node, the store, a Sentinel, the proxy."""

from loadtest.faults.fault import Fault, restore


def kill(name: str) -> Fault:
    """SIGKILL to all processes of a member."""
    return Fault(
        what=f"kill {name}", apply=lambda cluster: cluster.kill(name), undo=lambda cluster: restore(cluster, name)
    )


def pause(name: str) -> Fault:
    """SIGSTOP to all processes of a member: alive and silent."""
    return Fault(
        what=f"pause {name}", apply=lambda cluster: cluster.pause(name), undo=lambda cluster: restore(cluster, name)
    )


def move(name: str) -> Fault:
    """Another address of a node, for good: the way back would be another move."""
    return Fault(what=f"move {name}", seconds=1.0, apply=lambda cluster: cluster.move(name))
