"""The fault and what it needs of a cluster, a sequence of faults, and the repair of members."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from deploy import Cluster, MemberState
from deploy.steps import run_all

Operation = Callable[[Cluster], None]


class Ability(StrEnum):
    """An ability that a fault needs of a cluster. Its value is the end of "the cluster can't …"."""

    KILL = "kill"
    """And start again."""
    PAUSE = "pause"
    """And resume."""
    RESTART = "restart"
    SCALE = "change the number of nodes"
    STORE_PROXY = "break the network to the store"
    STORE_SERVERS = "tell the store's primary and replicas"
    STORE_CONTENTS = "fill the store"
    RELOAD = "reload the proxy"
    CONFIGURE = "give nodes other settings or releases"
    MOVE = "give a node another address"
    MACHINES = "change the machines that it runs on"
    OWN_PROCESSES = "change processes within a member"
    UNKNOWN = "do what this fault does"
    """The fault does not say what it needs."""


class Need(NamedTuple):
    """An ability, and the member or the role that it is needed for; empty: the cluster."""

    ability: Ability
    on: str = ""


def do_nothing(cluster: Cluster) -> None:
    """The undo of a fault that leaves nothing to undo."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A change of a cluster that can be undone. `apply` and `undo` raise ClusterError.

    A fault is data: it remembers nothing of the cluster. `undo` is called in any case, also where `apply` failed
    half-way or was never called, so it repairs only what is broken.

    `needs` is what it asks of a cluster: all clusters of this project do it, others may not. `instead` are faults that
    do about the same where a cluster can't do this one, the best first.

    `what` is its name in the progress line and the report: "kill node-2". `seconds` is about how long `apply` takes,
    for the progress line; 0 for a fault that does nothing.
    """

    what: str
    seconds: float = 0.1
    apply: Operation
    undo: Operation = do_nothing
    needs: tuple[Need, ...] = (Need(Ability.UNKNOWN),)
    instead: tuple["Fault", ...] = ()


NOTHING = Fault(what="nothing", seconds=0.0, apply=do_nothing, needs=())


def fault_sequence(*faults: Fault, pause: float = 0.0) -> Fault:
    """Return several faults as one, each `pause` seconds after the one before; undone in reverse order."""
    if len(faults) == 1:
        return faults[0]

    def apply(cluster: Cluster) -> None:
        for number, fault in enumerate(faults):
            if number:
                time.sleep(pause)
            fault.apply(cluster)

    def undo(cluster: Cluster) -> None:
        """Undo all of them, even if one undo fails; then raise the first error."""
        run_all(partial(fault.undo, cluster) for fault in reversed(faults))

    return Fault(
        what=", ".join(fault.what for fault in faults),
        seconds=sum(fault.seconds for fault in faults) + pause * (len(faults) - 1),
        apply=apply,
        undo=undo,
        needs=tuple(dict.fromkeys(need for fault in faults for need in fault.needs)),
    )


def restore(cluster: Cluster, *names: str) -> None:
    """Resume members that are paused, and restart those that have ended or are drained; all members without `names`.

    Resume paused members first, because a restarted one may need their answers.
    """
    broken = {member.name: member.state for member in cluster.members() if not names or member.name in names}
    for name, state in broken.items():
        if state is MemberState.PAUSED:
            cluster.resume(name)
    for name, state in broken.items():
        if state in {MemberState.ENDED, MemberState.DRAINED}:
            cluster.restart(name)
