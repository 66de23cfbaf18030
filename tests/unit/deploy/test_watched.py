"""A cluster that is watched from a container: what the engine's DNS and HTTP answers tell of its members."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy import ClusterError, MemberState, StoreKind
from deploy.compose.watched import SECONDS_SHOWN, WatchedCluster, find_shop
from proxy import Balance
from tests.support.engine_names import Engine


def states(cluster: WatchedCluster) -> dict[str, MemberState]:
    return {one.name: one.state for one in cluster.look()}


def nodes(cluster: WatchedCluster) -> dict[str, MemberState]:
    return {name: state for name, state in states(cluster).items() if name.startswith("node")}


RUNNING, ENDED, SILENT = MemberState.RUNNING, MemberState.ENDED, MemberState.SILENT


def test_members_are_named_as_in_compose_and_the_store_is_unknown() -> None:
    cluster = Engine(1, 2).watch()
    assert states(cluster) == {"proxy": RUNNING, "node-1": RUNNING, "node-2": RUNNING, "store": MemberState.UNKNOWN}
    assert [one.address for one in cluster.members()][:2] == ["10.0.0.99:8080", "10.0.0.1:8000"]
    assert (cluster.project, cluster.node_count) == ("my-shop", 2)
    assert [cluster.container(name) for name in ("node-2", "store")] == ["my-shop-node-2", "my-shop-redis-1"]


def test_stores_with_several_servers_are_members_too() -> None:
    found = states(Engine(1).watch(StoreKind.REDIS_HA))
    assert [name for name, state in found.items() if state is MemberState.UNKNOWN] == [
        *("store-1", "store-2", "store-3"),
        *("sentinel-1", "sentinel-2", "sentinel-3"),
    ]


def test_a_node_that_does_not_answer_is_silent_and_one_that_is_gone_has_ended() -> None:
    engine = Engine(1, 2, 3)
    cluster = engine.watch()
    assert set(nodes(cluster).values()) == {RUNNING}
    engine.nodes.discard(2)
    engine.silent.add("10.0.0.1:8000")
    engine.now += 10 * SECONDS_SHOWN
    assert nodes(cluster) == {"node-1": SILENT, "node-2": ENDED, "node-3": RUNNING}


def test_a_node_that_had_ended_before_is_missing_among_the_others() -> None:
    assert nodes(Engine(1, 3).watch()) == {"node-1": RUNNING, "node-2": ENDED, "node-3": RUNNING}


def test_the_last_nodes_are_shown_for_a_minute_after_they_are_gone() -> None:
    engine = Engine(1, 2, 3)
    cluster = engine.watch()
    cluster.look()
    engine.nodes -= {2, 3}
    engine.now += SECONDS_SHOWN - 1
    assert nodes(cluster) == {"node-1": RUNNING, "node-2": ENDED, "node-3": ENDED}
    engine.now += 2
    assert nodes(cluster) == {"node-1": RUNNING}


def test_without_any_node_all_of_them_have_ended_however_long_ago() -> None:
    engine = Engine(1, 2)
    cluster = engine.watch()
    cluster.look()
    engine.nodes.clear()
    engine.now += 10 * SECONDS_SHOWN
    assert nodes(cluster) == {"node-1": ENDED, "node-2": ENDED}


def test_an_engine_without_names_leaves_numbers() -> None:
    engine = Engine(4, 7)
    engine.has_names = False
    cluster = engine.watch()
    assert nodes(cluster) == {"node-1": RUNNING, "node-2": RUNNING}
    assert cluster.container("node-1") == "node"


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: cluster.kill("node-1"),
        lambda cluster: cluster.restart("node-1"),
        lambda cluster: cluster.scale(4),
        lambda cluster: cluster.balance(Balance.STICKY),
        lambda cluster: cluster.configure({"LOG_LEVEL": "debug"}),
        lambda cluster: cluster.log_lines("node-1", 5),
        lambda cluster: cluster.store.primaries(),
        lambda cluster: cluster.node_environment,
    ],
)
def test_nothing_can_be_changed_or_looked_into(change: Callable[[WatchedCluster], object]) -> None:
    cluster = Engine(1).watch()
    cluster.look()
    with pytest.raises(ClusterError):
        change(cluster)


def test_browsers_get_the_published_address_and_users_the_proxys_name() -> None:
    cluster = Engine(1).watch()
    assert (find_shop(cluster), cluster.url) == ("http://127.0.0.1:8080", "http://proxy:8080")


def test_it_starts_when_the_proxy_and_a_node_answer() -> None:
    cluster = Engine(1).watch()
    with cluster:
        cluster.wait_ready(1)
        assert {one.state for one in cluster.members()} == {RUNNING, MemberState.UNKNOWN}
