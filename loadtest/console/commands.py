"""The commands of the console, and in which state of the cluster each is possible: one table for page and server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from deploy import Cluster, ClusterSpec, Member, MemberState, Role, StoreKind
from deploy.compose.watched import WatchedCluster
from deploy.spec import NodeKind
from loadtest.console.experiments import list_names, refuse_experiment, refuse_on_running
from loadtest.console.messages import Message, message
from loadtest.console.stops import BY_NAME as STOPS_BY_NAME
from loadtest.console.stops import OWN
from loadtest.console.typed import type_instead
from loadtest.described.runtime import DescribedCluster
from loadtest.experiment import Place
from loadtest.faults import BLACKHOLE, FAILOVER, STORE_DOWN, Ability, Fault, Need, kill, latency, pause, restore, scale
from proxy import Balance

MOST_NODES = 12
MOST_USERS = 200
SLOW_SECONDS = 0.1
WITHOUT_CLUSTER = frozenset({"store", "scene", "experiment", "stop"})
"""Commands that are possible where the console's own cluster did not start."""
DURING_EXPERIMENT = frozenset({"stop", "undo"})
AS_ON_EVERY_CLUSTER = frozenset({"users", "load", "stop", "undo", "resume", "experiment"})
"""Commands that are refused on a described target as on every cluster."""
_ON_MEMBER = {"kill": Ability.KILL, "pause": Ability.PAUSE, "restart": Ability.RESTART}


class ClusterStage(StrEnum):
    """The stage of the console's cluster."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    """It did not start; another store may."""
    ENDED = "ended"


class Network(StrEnum):
    """The network between the nodes and the store's only server."""

    OK = "ok"
    SLOW = "slow"
    SILENT = "silent"
    CUT = "cut"


NETWORK_FAULTS: Mapping[Network, Fault] = {
    Network.SLOW: latency(SLOW_SECONDS),
    Network.SILENT: BLACKHOLE,
    Network.CUT: STORE_DOWN,
}


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """The state of the cluster, as far as commands depend on it. `network` is None without a proxy to the store."""

    stage: ClusterStage
    spec: ClusterSpec
    policy: Balance
    network: Network | None
    members: tuple[Member, ...] = ()
    users: int | None = None
    """None: this console has no load."""
    load_failed: bool = False
    busy: bool = False
    """Whether a command waits or is being executed."""
    experiment: str = ""
    """The experiment that waits or runs, on a cluster of its own."""
    places: frozenset[Place] = frozenset({Place.LOCAL})
    """Where experiments can run, and why not in containers."""
    why_no_containers: str = ""
    why_not: Mapping[str, str] = field(default_factory=dict)
    """Why experiments, or their variants, can't run on a target."""
    watched: WatchedCluster | None = None
    """The cluster, if it can only be watched."""
    described: DescribedCluster | None = None
    """The cluster, if it is a target's."""

    def find(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    @property
    def nodes(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.role is Role.NODE)

    @property
    def has_fault(self) -> bool:
        """Return whether a member does not serve, or the network to the store is broken, as far as that is known."""
        broken = any(member.state not in {MemberState.RUNNING, MemberState.UNKNOWN} for member in self.members)
        return broken or self.network not in {None, Network.OK}


@dataclass(frozen=True, kw_only=True)
class Command:
    """`refuse` returns why a command is not possible in a state, or None. `apply` changes the cluster; the director
    does what has none. With `on_member` the argument is the name of a member."""

    refuse: Callable[[ClusterState, str], Message | None]
    apply: Callable[[Cluster, str], None] | None = None
    on_member: bool = False


def refuse(state: ClusterState, do: str, argument: str) -> Message | None:
    """Return why a command is not possible in this state, or None."""
    command = COMMANDS.get(do)
    if do == "look" and state.watched is not None:
        return message("type_it", command=type_instead(state.watched, do, argument))
    if command is None:
        return message("no_such_command", name=do)
    if reason := _refuse_whatever(state, do):
        return reason
    if command.on_member and state.find(argument) is None:
        return message("no_such_member", name=argument)
    if state.watched is not None and do not in OWN_COMMANDS:
        return _refuse_watched(state, state.watched, do, argument)
    if state.described is not None and do not in AS_ON_EVERY_CLUSTER:
        why = _refuse_on_target(state, state.described, do, argument)
        return why if why or do not in {"nodes", "network"} else command.refuse(state, argument)
    return command.refuse(state, argument)


def refused(state: ClusterState) -> dict[str, Message]:
    """Return what is not possible in a state: "kill node-2" -> why. Absent are commands that are possible."""
    arguments: dict[str, Sequence[str]] = {
        **{name: [member.name for member in state.members] for name, one in COMMANDS.items() if one.on_member},
        "nodes": [str(len(state.nodes) - 1), str(len(state.nodes) + 1)],
        "network": list(Network),
        "policy": list(Balance),
        "store": list(StoreKind),
        "scene": [OWN, *STOPS_BY_NAME],
        "experiment": list_names(),
        "users": [],
    }
    found = {name: why for name in COMMANDS if (why := _refuse_whatever(state, name)) is not None}
    for name in [one for one in COMMANDS if one not in found]:
        for argument in arguments.get(name, [""]):
            if (why := refuse(state, name, argument)) is not None:
                found[f"{name} {argument}".strip()] = why
    if state.watched is not None:
        found |= {f"look {member.name}": why for member in state.members if (why := refuse(state, "look", member.name))}
    return found | ({"users": message("no_users_here")} if state.users is None else {})


def _refuse_on_target(state: ClusterState, cluster: DescribedCluster, do: str, argument: str) -> Message | None:
    """Return why a command other than `AS_ON_EVERY_CLUSTER` is not possible on a target, or None."""
    if do in _ON_MEMBER:
        why = None if do == "restart" else COMMANDS[do].refuse(state, argument)
        return why or _to_message(cluster.refuse(Need(_ON_MEMBER[do], argument)))
    if do == "nodes":
        return _to_message(cluster.refuse(Need(Ability.SCALE)))
    if do == "network":
        return _to_message(cluster.refuse(Need(Ability.STORE_PROXY)))
    if do == "drain" and (found := state.find(argument)) is not None and found.role is not Role.NODE:
        return message("only_nodes_drain")
    return message("target_cannot")


def _to_message(why: str) -> Message | None:
    return message("target_refuses", why=why) if why else None


def _refuse_whatever(state: ClusterState, do: str) -> Message | None:
    """Return why a command is not possible, whatever its argument is, or None."""
    if state.experiment and do not in DURING_EXPERIMENT:
        return message("experiment_runs", name=state.experiment)
    has_cluster = state.stage is ClusterStage.RUNNING
    if has_cluster and state.watched is not None and do in NOT_WATCHED:
        return message(f"not_watched_{do}")
    if has_cluster or (state.stage is ClusterStage.FAILED and do in WITHOUT_CLUSTER):
        return None
    return message(f"stage_{state.stage}")


def _refuse_watched(state: ClusterState, cluster: WatchedCluster, do: str, argument: str) -> Message:
    """Return the command to type, or why there is none."""
    if do != "undo" and (why := COMMANDS[do].refuse(state, argument)):
        return why
    command = type_instead(cluster, do, argument)
    return message("type_it", command=command) if command else message("not_watched_failover")


def _member(state: ClusterState, name: str) -> Member:
    found = state.find(name)
    assert found is not None  # `refuse` has looked
    return found


def _refuse_kill(state: ClusterState, name: str) -> Message | None:
    return message("has_ended", name=name) if _member(state, name).state is MemberState.ENDED else None


def _refuse_pause(state: ClusterState, name: str) -> Message | None:
    match _member(state, name).state:
        case MemberState.ENDED:
            return message("has_ended", name=name)
        case MemberState.PAUSED:
            return message("is_paused", name=name)
    return None


def _refuse_resume(state: ClusterState, name: str) -> Message | None:
    return None if _member(state, name).state in _HALTED else message("is_not_paused", name=name)


def _refuse_drain(state: ClusterState, name: str) -> Message | None:
    member = _member(state, name)
    if member.role is not Role.NODE:
        return message("only_nodes_drain")
    if member.state is not MemberState.RUNNING:
        return message("is_not_running", name=name)
    if not any(one.state is MemberState.RUNNING for one in state.nodes if one.name != name):
        return message("last_node", name=name)
    return _needs_proxy(state)


def _refuse_restart(state: ClusterState, name: str) -> Message | None:
    if _member(state, name).role is not Role.NODE:
        return None
    return _needs_proxy(state) or _needs_store(state)


def _refuse_nodes(state: ClusterState, to: str) -> Message | None:
    if not _is_number(to) or not 1 <= int(to) <= MOST_NODES:
        return message("nodes_range", most=MOST_NODES)
    count = len(state.nodes)
    if int(to) == count:
        return message("is_so_already")
    return _needs_proxy(state) or (_needs_store(state) if int(to) > count else None)


def _refuse_policy(state: ClusterState, to: str) -> Message | None:
    if to not in set(Balance):
        return message("no_such_value", value=to)
    return message("is_so_already") if to == state.policy else _needs_proxy(state)


def _refuse_store(state: ClusterState, to: str) -> Message | None:
    if to not in set(StoreKind):
        return message("no_such_value", value=to)
    if StoreKind(to) not in state.spec.node.stores:
        return message("not_these_nodes", node=str(state.spec.node))
    if to == StoreKind.EXPRESS and state.spec.node is NodeKind.FLASK and state.spec.application:
        return message("not_these_nodes", node=state.spec.application)
    return message("is_so_already") if to == state.spec.store and state.stage is ClusterStage.RUNNING else None


def _refuse_scene(state: ClusterState, to: str) -> Message | None:
    if to != OWN and to not in STOPS_BY_NAME:
        return message("no_such_value", value=to)
    if state.users is None:
        return message("no_users_here")
    if state.spec.node is not NodeKind.FLASK or state.spec.application:
        return message("tour_needs_shop")
    return None


def _refuse_experiment(state: ClusterState, to: str) -> Message | None:
    if state.described is not None:
        return refuse_on_running(to, state.why_not)
    return refuse_experiment(to, state.places, state.why_no_containers)


def _refuse_stop(state: ClusterState, _: str) -> Message | None:
    return None if state.experiment else message("no_experiment")


def _refuse_network(state: ClusterState, to: str) -> Message | None:
    if to not in set(Network):
        return message("no_such_value", value=to)
    if state.network is None:
        return message("no_network", store=str(state.spec.store))
    return message("is_so_already") if to == state.network else None


def _refuse_failover(state: ClusterState, _: str) -> Message | None:
    if not state.spec.store.has_several_servers:
        return message("no_replica", store=str(state.spec.store))
    servers = [one for one in state.members if one.role in _STORE]
    broken = next((one for one in servers if one.state not in {MemberState.RUNNING, MemberState.UNKNOWN}), None)
    return message("restart_first", name=broken.name) if broken else None


def _refuse_users(state: ClusterState, to: str) -> Message | None:
    if not _is_number(to) or not 0 <= int(to) <= MOST_USERS:
        return message("users_range", most=MOST_USERS)
    if state.users is None:
        return message("no_users_here")
    if state.load_failed:
        return message("load_failed_first")
    return message("is_so_already") if int(to) == state.users else None


def _refuse_load(state: ClusterState, _: str) -> Message | None:
    return None if state.load_failed else message("load_runs")


def _refuse_undo(state: ClusterState, _: str) -> Message | None:
    return None if state.has_fault or state.busy else message("nothing_to_undo")


_STORE = {Role.STORE, Role.SENTINEL}
_HALTED = {MemberState.PAUSED, MemberState.SILENT}
OWN_COMMANDS = frozenset({"users", "load", "stop"})
"""Commands that need no engine."""
NOT_WATCHED = frozenset({"drain", "network", "scene", "experiment"})
"""Commands that a cluster that can only be watched has no line for."""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4


def _needs_proxy(state: ClusterState) -> Message | None:
    if state.described is not None:
        return None
    proxy = next((one for one in state.members if one.role is Role.PROXY), None)
    return None if proxy and proxy.state is MemberState.RUNNING else message("restart_first", name="proxy")


def _needs_store(state: ClusterState) -> Message | None:
    """A node is ready when it reaches the store, so it does not start without one."""
    if state.network in {Network.SILENT, Network.CUT}:
        return message("network_first")
    stores = [member for member in state.members if member.role is Role.STORE]
    if stores and all(member.state not in {MemberState.RUNNING, MemberState.UNKNOWN} for member in stores):
        return message("restart_first", name=stores[0].name)
    return None


def _set_network(cluster: Cluster, to: str) -> None:
    cluster.store.proxy.reset()
    if to != Network.OK:
        NETWORK_FAULTS[Network(to)].apply(cluster)


def undo_all(cluster: Cluster, network: Network | None) -> None:
    """Undo every fault: of the network first, since members that are restarted need it."""
    if network not in {None, Network.OK}:
        cluster.store.proxy.reset()
    restore(cluster)


COMMANDS: Mapping[str, Command] = {
    "kill": Command(refuse=_refuse_kill, apply=lambda cluster, name: kill(name).apply(cluster), on_member=True),
    "pause": Command(refuse=_refuse_pause, apply=lambda cluster, name: pause(name).apply(cluster), on_member=True),
    "resume": Command(refuse=_refuse_resume, apply=lambda cluster, name: cluster.resume(name), on_member=True),
    "drain": Command(refuse=_refuse_drain, apply=lambda cluster, name: cluster.drain(name), on_member=True),
    "restart": Command(refuse=_refuse_restart, apply=lambda cluster, name: cluster.restart(name), on_member=True),
    "nodes": Command(refuse=_refuse_nodes, apply=lambda cluster, to: scale(int(to)).apply(cluster)),
    "policy": Command(refuse=_refuse_policy, apply=lambda cluster, to: cluster.balance(Balance(to))),
    "network": Command(refuse=_refuse_network, apply=_set_network),
    "failover": Command(refuse=_refuse_failover, apply=lambda cluster, _: FAILOVER.apply(cluster)),
    "store": Command(refuse=_refuse_store),
    "scene": Command(refuse=_refuse_scene),
    "experiment": Command(refuse=_refuse_experiment),
    "stop": Command(refuse=_refuse_stop),
    "users": Command(refuse=_refuse_users),
    "load": Command(refuse=_refuse_load),
    "undo": Command(refuse=_refuse_undo),
}
