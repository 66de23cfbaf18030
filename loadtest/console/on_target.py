"""Commands of the console that a described target can't carry out, with the reasons that its runtime gives."""

from typing import TYPE_CHECKING

from deploy import MemberState, Role
from loadtest.console.messages import Message, message
from loadtest.described.runtime import DescribedCluster
from loadtest.faults import Ability, Need

if TYPE_CHECKING:
    from loadtest.console.commands import ClusterState

SAME = frozenset({"users", "load", "stop", "undo", "resume", "experiment"})
"""Commands that are refused as on every cluster."""
_ON_MEMBER = {"kill": Ability.KILL, "pause": Ability.PAUSE, "restart": Ability.RESTART}


def refuse_on_target(state: "ClusterState", cluster: DescribedCluster, do: str, argument: str) -> Message | None:
    """Return why a command other than those is not possible on a target, or None."""
    if do in _ON_MEMBER:
        member = state.find(argument)
        assert member is not None  # `refuse` has looked
        if do != "restart" and member.state is MemberState.ENDED:
            return message("has_ended", name=argument)
        if do == "pause" and member.state is MemberState.PAUSED:
            return message("is_paused", name=argument)
        return _say(cluster.refuse(Need(_ON_MEMBER[do], argument)))
    if do == "nodes":
        return _say(cluster.refuse(Need(Ability.SCALE)))
    if do == "network":
        return _say(cluster.refuse(Need(Ability.STORE_PROXY)))
    if do == "drain" and (found := state.find(argument)) is not None and found.role is not Role.NODE:
        return message("only_nodes_drain")
    return message("target_cannot")


def _say(why: str) -> Message | None:
    return message("target_refuses", why=why) if why else None
