"""Faults of machines, and releases that the orchestrator rolls out: for clusters on several machines alone."""

import time
from collections.abc import Sequence

from deploy import Cluster, ClusterError, MemberState
from deploy.waiting import holds_within
from loadtest.faults.fault import Ability, Fault, Need

_SECONDS_TO_HEAL = 120.0
_SECONDS_TO_NOTICE = 60.0
_POLL = 0.5
_NEEDS = (Need(Ability.MACHINES),)


def _heal(cluster: Cluster) -> None:
    """Restore the machines. Block until the orchestrator has started every member again."""
    cluster.machines.restore()
    deadline = time.monotonic() + _SECONDS_TO_HEAL
    while missing := [one.name for one in cluster.members() if one.state is not MemberState.RUNNING]:
        if time.monotonic() > deadline:
            raise ClusterError(f"not running again within {_SECONDS_TO_HEAL:g} s: {', '.join(missing)}")
        time.sleep(_POLL)
    cluster.wait_ready(_SECONDS_TO_HEAL)


def cut_off_machine(name: str) -> Fault:
    """Pull the cable of a machine: its containers run on, and nothing reaches them."""
    return Fault(what=f"cut {name} off", apply=lambda cluster: cluster.machines.cut_off(name), undo=_heal, needs=_NEEDS)


def kill_machine(name: str) -> Fault:
    """Switch a machine off, with everything on it."""
    return Fault(what=f"switch {name} off", apply=lambda cluster: cluster.machines.kill(name), undo=_heal, needs=_NEEDS)


def drain_machine(name: str) -> Fault:
    """Move everything from a machine, as before its maintenance."""
    return Fault(
        what=f"drain {name}",
        seconds=2.0,
        apply=lambda cluster: cluster.machines.drain(name),
        undo=_heal,
        needs=_NEEDS,
    )


def lose_quorum(*names: str) -> Fault:
    """Isolate most managers; the machines and their containers go on, and nobody can change the swarm."""

    def apply(cluster: Cluster) -> None:
        for name in names:
            cluster.machines.isolate_manager(name)
        # A leader goes on for some seconds before it notices that no manager follows.
        if not holds_within(lambda: not cluster.machines.has_quorum(), _SECONDS_TO_NOTICE, _POLL):
            raise ClusterError(f"without {', '.join(names)} the managers have a quorum: isolate more of them")

    return Fault(what=f"isolate the managers {_join(names)}", seconds=15.0, apply=apply, undo=_heal, needs=_NEEDS)


def _roll_out_broken(cluster: Cluster) -> None:
    try:
        cluster.roll_out(broken=True)
    except ClusterError as error:
        if "rolled back" not in str(error):
            raise
    else:
        raise ClusterError("a broken release was rolled out: expected the one before")


ROLL_OUT = Fault(
    what="roll out a release", seconds=60.0, apply=lambda cluster: cluster.roll_out(), needs=(Need(Ability.CONFIGURE),)
)
"""Replace all nodes by those of another image, one after the other."""

ROLL_OUT_BROKEN = Fault(
    what="roll out a broken release", seconds=20.0, apply=_roll_out_broken, needs=(Need(Ability.CONFIGURE),)
)
"""Replace the nodes by those of an image that does not start: the orchestrator goes back to the one before."""


def _join(names: Sequence[str]) -> str:
    return " and ".join(names)
