"""Which command is possible in which state of the cluster: the table that the page and the server share."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy import ClusterSpec, StoreKind
from loadtest.console.commands import COMMANDS, ClusterStage, ClusterState, Network, refuse, refused, undo_all
from loadtest.console.director import with_store
from loadtest.console.messages import message
from loadtest.described.make_runtime import make_cluster
from loadtest.experiment import Place
from loadtest.report.korean import say
from proxy import Balance
from tests.support.described import write_target
from tests.support.engine_names import Engine
from tests.support.fake_cluster import FakeCluster


def watched(store: StoreKind = StoreKind.REDIS, silent: str = "") -> ClusterState:
    """The state of a cluster that is watched from a container; one node may be silent."""
    engine = Engine(1, 2)
    engine.silent.add(silent)
    cluster = engine.watch(store)
    return ClusterState(
        stage=ClusterStage.RUNNING,
        spec=cluster.spec,
        policy=cluster.policy,
        network=None,
        members=cluster.look(),
        users=20,
        watched=cluster,
    )


def state_after(
    *changes: tuple[str, str],
    store: StoreKind = StoreKind.REDIS,
    nodes: int = 2,
    network: Network | None = Network.OK,
    stage: ClusterStage = ClusterStage.RUNNING,
) -> ClusterState:
    cluster = FakeCluster(ClusterSpec(nodes=nodes, store=store))
    cluster.start()
    for do, name in changes:
        getattr(cluster, do)(name)
    spec = with_store(cluster.spec, store)
    return ClusterState(
        stage=stage,
        spec=spec,
        policy=Balance.ROUND_ROBIN,
        network=network if spec.store_proxy else None,
        members=cluster.members(),
        users=20,
    )


def on_target(folder: Path, actions: str) -> ClusterState:
    """The state of a target that only commands can reach, with these actions."""
    names = 'roles.node = ["web-0", "web-1"]\nroles.store = ["redis"]'
    description = write_target(folder, f'[runtime]\nkind = "commands"\n{names}\nactions = {{ {actions} }}')
    cluster = make_cluster(description)
    assert cluster is not None
    return ClusterState(
        stage=ClusterStage.RUNNING,
        spec=cluster.spec,
        policy=cluster.policy,
        network=None,
        members=cluster.members(),
        users=20,
        described=cluster,
        why_not={"scale": "no scale", "slow-store.slow": "no proxy"},
    )


WELL = state_after()
KILLED = state_after(("kill", "node-2"))
PAUSED = state_after(("pause", "node-2"))
DRAINED = state_after(("drain", "node-2"))
ONE_NODE = state_after(nodes=1)
PROXY_DOWN = state_after(("kill", "proxy"))
STORE_DOWN = state_after(("kill", "store"))
STORE_PAUSED = state_after(("pause", "store"))
CUT = state_after(network=Network.CUT)
SLOW = state_after(network=Network.SLOW)
MEMORY = state_after(store=StoreKind.MEMORY)
HA = state_after(store=StoreKind.REDIS_HA)
HA_BROKEN = state_after(("kill", "store-2"), store=StoreKind.REDIS_HA)
LOAD_FAILED = replace(WELL, load_failed=True)
NO_LOAD = replace(WELL, users=None)
EXPERIMENT = replace(WELL, experiment="kill-node", busy=True)
CONTAINERS = replace(WELL, places=frozenset(Place))


@pytest.mark.parametrize(
    ("state", "command", "argument", "why"),
    [
        (WELL, "kill", "node-2", None),
        (WELL, "kill", "proxy", None),
        (PAUSED, "kill", "node-2", None),
        (KILLED, "kill", "node-2", "has_ended"),
        (WELL, "kill", "node-9", "no_such_member"),
        (WELL, "pause", "store", None),
        (PAUSED, "pause", "node-2", "is_paused"),
        (KILLED, "pause", "node-2", "has_ended"),
        (PAUSED, "resume", "node-2", None),
        (WELL, "resume", "node-2", "is_not_paused"),
        (WELL, "drain", "node-2", None),
        (WELL, "drain", "store", "only_nodes_drain"),
        (DRAINED, "drain", "node-2", "is_not_running"),
        (KILLED, "drain", "node-1", "last_node"),
        (ONE_NODE, "drain", "node-1", "last_node"),
        (PROXY_DOWN, "drain", "node-1", "restart_first"),
        (KILLED, "restart", "node-2", None),
        (WELL, "restart", "node-2", None),
        (PROXY_DOWN, "restart", "proxy", None),
        (PROXY_DOWN, "restart", "node-1", "restart_first"),
        (STORE_DOWN, "restart", "node-1", "restart_first"),
        (STORE_PAUSED, "restart", "node-1", "restart_first"),
        (STORE_DOWN, "restart", "store", None),
        (CUT, "restart", "node-1", "network_first"),
        (SLOW, "restart", "node-1", None),
        (WELL, "nodes", "3", None),
        (WELL, "nodes", "1", None),
        (WELL, "nodes", "2", "is_so_already"),
        (WELL, "nodes", "0", "nodes_range"),
        (WELL, "nodes", "13", "nodes_range"),
        (WELL, "nodes", "-1", "nodes_range"),
        (WELL, "nodes", "٣", "nodes_range"),
        (CUT, "nodes", "3", "network_first"),
        (CUT, "nodes", "1", None),
        (PROXY_DOWN, "nodes", "3", "restart_first"),
        (WELL, "policy", "sticky", None),
        (WELL, "policy", "round_robin", "is_so_already"),
        (WELL, "policy", "best", "no_such_value"),
        (PROXY_DOWN, "policy", "sticky", "restart_first"),
        (WELL, "network", "cut", None),
        (CUT, "network", "ok", None),
        (WELL, "network", "ok", "is_so_already"),
        (WELL, "network", "gone", "no_such_value"),
        (MEMORY, "network", "cut", "no_network"),
        (HA, "network", "cut", "no_network"),
        (WELL, "failover", "", "no_replica"),
        (HA, "failover", "", None),
        (HA_BROKEN, "failover", "", "restart_first"),
        (WELL, "store", "memory", None),
        (WELL, "store", "redis", "is_so_already"),
        (WELL, "store", "tape", "no_such_value"),
        (replace(WELL, stage=ClusterStage.FAILED), "store", "redis", None),
        (replace(WELL, stage=ClusterStage.FAILED), "kill", "node-1", "stage_failed"),
        (replace(WELL, stage=ClusterStage.STARTING), "store", "memory", "stage_starting"),
        (replace(WELL, stage=ClusterStage.ENDED), "undo", "", "stage_ended"),
        (WELL, "users", "0", None),
        (WELL, "users", "50", None),
        (WELL, "users", "20", "is_so_already"),
        (WELL, "users", "201", "users_range"),
        (WELL, "users", "many", "users_range"),
        (LOAD_FAILED, "users", "50", "load_failed_first"),
        (NO_LOAD, "users", "50", "no_users_here"),
        (LOAD_FAILED, "load", "", None),
        (WELL, "load", "", "load_runs"),
        (WELL, "undo", "", "nothing_to_undo"),
        (replace(WELL, busy=True), "undo", "", None),
        (KILLED, "undo", "", None),
        (PAUSED, "undo", "", None),
        (DRAINED, "undo", "", None),
        (CUT, "undo", "", None),
        (SLOW, "undo", "", None),
        (WELL, "experiment", "kill-node", None),
        (WELL, "experiment", "replicas-cut-off.guarded", None),
        (WELL, "experiment", "replicas-cut-off.unknown", "no_such_value"),
        (WELL, "experiment", "kill-everything", "no_such_value"),
        (WELL, "experiment", "", "no_such_value"),
        (WELL, "experiment", "database-killed", "needs_containers"),
        (CONTAINERS, "experiment", "database-killed", None),
        (replace(WELL, places=frozenset({Place.COMPOSE})), "experiment", "overload", "needs_processes"),
        (EXPERIMENT, "experiment", "scale", "experiment_runs"),
        (EXPERIMENT, "kill", "node-1", "experiment_runs"),
        (EXPERIMENT, "store", "memory", "experiment_runs"),
        (EXPERIMENT, "stop", "", None),
        (EXPERIMENT, "undo", "", None),
        (WELL, "stop", "", "no_experiment"),
        (replace(WELL, stage=ClusterStage.FAILED), "experiment", "kill-node", None),
        (replace(WELL, stage=ClusterStage.STARTING), "experiment", "kill-node", "stage_starting"),
        (WELL, "explode", "", "no_such_command"),
    ],
)
def test_a_command_is_possible_or_refused_with_its_reason(
    state: ClusterState, command: str, argument: str, why: str | None
) -> None:
    reason = refuse(state, command, argument)
    assert (reason and reason.key) == why
    if reason is not None:
        assert str(reason)  # it is in the catalogue, with its values


def test_the_page_learns_of_each_member_and_value_what_is_not_possible() -> None:
    found = {what: why.key for what, why in refused(KILLED).items()}
    assert found["kill node-2"] == "has_ended"
    assert found["policy round_robin"] == "is_so_already"
    assert "kill node-1" not in found
    assert "undo" not in found
    assert "restart node-2" not in found


def test_during_an_experiment_the_page_is_told_once_that_commands_are_not_possible() -> None:
    found = refused(EXPERIMENT)
    assert {why.key for why in found.values()} == {"experiment_runs"}
    assert set(found) == COMMANDS.keys() - {"stop", "undo"}


def test_the_page_learns_which_experiments_need_containers() -> None:
    found = refused(replace(WELL, why_no_containers="this console has none"))
    assert found["experiment database-killed"] == message("needs_containers", why=say("this console has none"))
    assert "experiment kill-node" not in found
    assert not any(what.startswith("experiment") for what in refused(CONTAINERS))


def test_undoing_ends_every_fault_at_once() -> None:
    cluster = FakeCluster(ClusterSpec(nodes=4, store=StoreKind.REDIS))
    cluster.start()
    for do, name in (("kill", "node-2"), ("pause", "node-3"), ("drain", "node-4"), ("pause", "store")):
        getattr(cluster, do)(name)
    cluster.network.down()
    undo_all(cluster, Network.CUT)
    assert {member.state for member in cluster.members()} == {"running"}
    assert cluster.network.mode == "up"


COMPOSE = "docker compose --project-name my-shop"
NODE_1_SILENT = watched(silent="10.0.0.1:8000")


@pytest.mark.parametrize(
    ("state", "command", "argument", "line"),
    [
        (watched(), "kill", "node-2", "docker kill my-shop-node-2"),
        (watched(), "kill", "proxy", "docker kill my-shop-proxy-1"),
        (watched(), "kill", "store", "docker kill my-shop-redis-1"),
        (watched(StoreKind.REDIS_CLUSTER), "kill", "store-4", "docker kill my-shop-shard-4-1"),
        (watched(), "pause", "node-1", "docker pause my-shop-node-1"),
        (NODE_1_SILENT, "resume", "node-1", "docker unpause my-shop-node-1"),
        (watched(), "restart", "node-1", "docker restart my-shop-node-1"),
        (watched(), "look", "node-1", "docker logs --tail 40 my-shop-node-1"),
        (watched(), "nodes", "3", f"{COMPOSE} up --detach --no-deps --no-recreate --scale node=3 node"),
        (
            watched(),
            "policy",
            "sticky",
            f"SESSION_STORE=redis BALANCE=sticky {COMPOSE} --profile console up --detach --scale node=2",
        ),
        (
            watched(StoreKind.REDIS_HA),
            "policy",
            "hash",
            f"SESSION_STORE=redis REDIS_MODE=sentinel BALANCE=hash {COMPOSE} --profile ha --profile console up --detach"
            " --scale node=2",
        ),
        (
            watched(),
            "store",
            "memory",
            f"SESSION_STORE=memory BALANCE=round_robin {COMPOSE} --profile console up --detach --scale node=2",
        ),
        (
            NODE_1_SILENT,
            "undo",
            "",
            "docker unpause my-shop-node-1 my-shop-redis-1; docker start my-shop-redis-1",
        ),
    ],
)
def test_a_watched_cluster_is_changed_by_commands_to_type(
    state: ClusterState, command: str, argument: str, line: str
) -> None:
    found = refuse(state, command, argument)
    assert found is not None
    assert (found.key, found.values) == ("type_it", {"command": line})


@pytest.mark.parametrize(
    ("command", "argument", "why"),
    [
        ("kill", "node-9", "no_such_member"),
        ("resume", "node-1", "is_not_paused"),
        ("nodes", "99", "nodes_range"),
        ("policy", "round_robin", "is_so_already"),
        ("drain", "node-1", "not_watched_drain"),
        ("network", "cut", "not_watched_network"),
        ("scene", "scale", "not_watched_scene"),
        ("experiment", "kill-node", "not_watched_experiment"),
        ("failover", "", "no_replica"),
        ("users", "20", "is_so_already"),
        ("users", "10", None),
        ("load", "", "load_runs"),
    ],
)
def test_what_nobody_can_type_is_refused_and_the_load_is_the_consoles_own(
    command: str, argument: str, why: str | None
) -> None:
    found = refuse(watched(), command, argument)
    assert (found.key if found else None) == why


def test_a_store_that_is_not_visible_is_no_fault_and_a_silent_node_is() -> None:
    assert (watched().has_fault, NODE_1_SILENT.has_fault) == (False, True)
    assert {"look node-1", "kill store", "undo"} <= refused(watched()).keys()


def test_on_a_target_what_its_runtime_cannot_do_is_refused_with_the_reason(tmp_path: Path) -> None:
    why = refused(on_target(tmp_path, 'kill = "true", restart = "true"'))
    assert not {"kill node-1", "kill store", "restart node-2", "experiment kill-node", "experiment slow-store"} & set(
        why
    )
    assert str(why["pause node-1"]) == "the runtime commands has no action pause"
    assert str(why["nodes 3"]) == "the runtime commands has no action scale"
    assert str(why["network cut"]) == "the file has no runtime.store_proxy before the store"
    assert (str(why["experiment scale"]), str(why["experiment slow-store.slow"])) == ("no scale", "no proxy")
    for command in ("drain node-1", "policy sticky", "store redis", "scene own", "failover"):
        assert why[command].key == "target_cannot", command


def test_on_a_target_that_can_the_number_of_nodes_is_checked_as_everywhere(tmp_path: Path) -> None:
    state = on_target(tmp_path, 'scale = "true {nodes}"')
    assert refuse(state, "nodes", "3") is None
    assert [getattr(refuse(state, "nodes", to), "key", "") for to in ("2", "0")] == ["is_so_already", "nodes_range"]
