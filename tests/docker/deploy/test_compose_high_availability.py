"""A store of several servers under a cluster of containers: handed over, killed and restarted, as one of local
processes."""

import pytest

from deploy import ClusterError, ClusterSpec, ComposeCluster, Role, StoreKind, StoreSettings
from nodes.sessions import Outage
from tests.cluster.deploy.test_high_availability import SERVERS, Shopper
from tests.support.traffic import Browser
from tests.support.waiting import until


@pytest.mark.docker
@pytest.mark.parametrize("store", list(SERVERS))
def test_another_becomes_the_primary_when_asked_and_when_the_last_one_is_killed(store: StoreKind) -> None:
    settings = StoreSettings(outage=Outage.WAIT)
    with ComposeCluster(ClusterSpec(nodes=2, store=store, store_settings=settings, start_timeout=110)) as cluster:
        members = cluster.members()
        assert [one.name for one in members] == ["proxy", "node-1", "node-2", *SERVERS[store]]
        assert {one.role for one in members if one.name.startswith("sentinel")} <= {Role.SENTINEL}
        assert len({one.address for one in members}) == len(members)
        shopper, first = Shopper(cluster), cluster.store.primary()
        shopper.visit()
        cluster.store.failover()
        second = cluster.store.primary()
        assert second != first
        shopper.visit()
        cluster.kill(second)
        shopper.visit()
        until(lambda: cluster.store.primary() != second, "another primary")
        cluster.restart(second)
        assert cluster.store.primary() != second
        cluster.wait_ready()
        shopper.visit()


@pytest.mark.docker
def test_replicas_that_are_cut_off_leave_a_primary_that_refuses_writes_until_they_are_back() -> None:
    with ComposeCluster(ClusterSpec(nodes=1, store=StoreKind.REDIS_HA, start_timeout=110)) as cluster:
        visitor = Browser(cluster.url)
        cluster.store.disconnect_replicas()
        until(lambda: visitor.post("/visits").status == 503, "writes are refused", timeout=20)
        assert cluster.store.primary() == "store-1"
        cluster.store.reconnect_replicas()
        until(lambda: visitor.post("/visits").status == 200, "writes are taken", timeout=20)


def test_what_containers_cannot_do_is_refused_before_anything_starts() -> None:
    spec = ClusterSpec(store=StoreKind.REDIS_HA, store_settings=StoreSettings(max_lag=3))
    with pytest.raises(ClusterError, match="max_lag is for"):
        ComposeCluster(spec).start()
