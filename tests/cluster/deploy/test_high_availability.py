"""A cluster whose store has several servers: killed, paused, restarted, and failed over as planned."""

import time
from collections.abc import Iterator

import pytest

from deploy import Cluster, ClusterSpec, LocalCluster, MemberState, Role, StoreKind, StoreSettings
from nodes.sessions import Outage
from tests.cluster.deploy.conftest import find_member
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

SERVERS = {
    StoreKind.REDIS_HA: [f"store-{number}" for number in (1, 2, 3)] + [f"sentinel-{number}" for number in (1, 2, 3)],
    StoreKind.REDIS_CLUSTER: [f"store-{number}" for number in range(1, 7)],
}


with_sentinels = pytest.mark.parametrize("started", [StoreKind.REDIS_HA], indirect=True)


@pytest.fixture(scope="module", params=list(SERVERS))
def started(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    settings = StoreSettings(outage=Outage.WAIT)
    with LocalCluster(ClusterSpec(nodes=2, store=request.param, store_settings=settings)) as cluster:
        yield cluster


class Shopper(HttpClient):
    """Counts its visits, over all nodes."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.url)
        self.log_in(cluster.users)
        self.visits = 0

    def visit(self) -> None:
        self.visits += 1
        assert self.ask("POST", "/visits", {}).json() == {"visits": self.visits}


def test_members_are_the_proxy_the_nodes_the_servers_and_the_sentinels(cluster: Cluster) -> None:
    members = cluster.members()
    assert [one.name for one in members] == ["proxy", "node-1", "node-2", *SERVERS[cluster.spec.store]]
    assert {one.role for one in members if one.name.startswith("sentinel")} <= {Role.SENTINEL}
    assert len({one.pid for one in members}) == len({one.address for one in members}) == len(members)
    assert cluster.store.primary() in [one.name for one in members if one.role is Role.STORE]


@pytest.mark.alone
def test_no_request_fails_when_the_primary_is_killed_and_comes_back_as_a_replica(cluster: Cluster) -> None:
    shopper, primary = Shopper(cluster), cluster.store.primary()
    shopper.visit()
    cluster.kill(primary)
    shopper.visit()
    wait_until(lambda: cluster.store.primary() != primary, "another primary")
    successor = cluster.store.primary()
    cluster.restart(primary)
    assert cluster.store.primary() == successor != primary
    shopper.visit()


def test_a_planned_failover_promotes_a_replica_and_loses_nothing(cluster: Cluster) -> None:
    shopper, primary = Shopper(cluster), cluster.store.primary()
    shopper.visit()
    cluster.store.failover()
    assert cluster.store.primary() != primary
    assert cluster.store.primary() in cluster.store.primaries()
    shopper.visit()


def test_a_primary_that_is_restarted_fails_over_first(cluster: Cluster) -> None:
    shopper, primary = Shopper(cluster), cluster.store.primary()
    shopper.visit()
    cluster.restart(primary)
    shopper.visit()
    assert cluster.store.primary() != primary


def test_a_killed_primary_is_not_restarted_before_another_one_is_promoted(cluster: Cluster) -> None:
    shopper, primary = Shopper(cluster), cluster.store.primary()
    shopper.visit()
    cluster.kill(primary)
    cluster.restart(primary)
    assert cluster.store.primary() != primary
    shopper.visit()


def test_a_paused_primary_is_replaced(cluster: Cluster) -> None:
    shopper, primary = Shopper(cluster), cluster.store.primary()
    cluster.pause(primary)
    wait_until(lambda: cluster.store.primary() != primary, "another primary")
    shopper.visit()
    assert find_member(cluster, primary).state is MemberState.PAUSED


def test_a_replica_comes_and_goes_unnoticed(cluster: Cluster) -> None:
    shopper, primary = Shopper(cluster), cluster.store.primary()
    replica = next(one.name for one in cluster.members() if one.role is Role.STORE and one.name != primary)
    if cluster.spec.store is StoreKind.REDIS_CLUSTER:  # the replica of the first shard
        replica = f"store-{(int(primary[-1]) + 2) % 6 + 1}"
    cluster.kill(replica)
    shopper.visit()
    cluster.restart(replica)
    shopper.visit()
    assert cluster.store.primary() == primary


@with_sentinels
def test_a_planned_failover_does_not_wait_for_a_sentinel_that_is_silent(cluster: Cluster) -> None:
    cluster.pause("sentinel-1")
    primary, began = cluster.store.primary(), time.monotonic()
    cluster.store.failover()
    assert cluster.store.primary() != primary
    # Asking the silent one takes a second, and another one 3 s. A client that asks again by itself takes 18.
    assert time.monotonic() - began < 10


@with_sentinels
def test_a_sentinel_comes_and_goes_unnoticed(cluster: Cluster) -> None:
    shopper = Shopper(cluster)
    cluster.kill("sentinel-1")
    shopper.visit()
    cluster.store.failover()
    shopper.visit()
    cluster.restart("sentinel-1")
    cluster.wait_ready()


def test_statistics_count_commands_of_clients_at_the_primaries_alone(cluster: Cluster) -> None:
    before = cluster.store.statistics()
    shopper = Shopper(cluster)
    for _ in range(5):
        shopper.visit()
    after = cluster.store.statistics()
    asked = {name: after.commands[name] - before.commands.get(name, 0) for name in after.commands}
    assert asked["hset"] >= 5
    assert 5 <= asked["hgetall"] < 30, "each visit reads its session, and no replica's copy counts"
    assert not {"psync", "replconf", "publish", "role", "info", "cluster|slots"} & set(after.commands)
    assert after.reads - before.reads >= 10
