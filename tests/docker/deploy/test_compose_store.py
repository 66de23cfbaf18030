"""What a cluster of containers can be told: of its lone store, its link to it, and its nodes' settings."""

import pytest
import redis

from deploy import ClusterError, ClusterSpec, ComposeCluster, StoreKind
from tests.support.traffic import Browser
from tests.support.waiting import until

SPEC = ClusterSpec(nodes=2, store=StoreKind.REDIS, store_proxy=True)


@pytest.mark.docker
def test_its_link_is_cut_its_store_is_asked_and_its_nodes_are_configured() -> None:
    with ComposeCluster(SPEC) as cluster:
        assert [member.name for member in cluster.members()] == ["proxy", "node-1", "node-2", "store"]
        browser = Browser(cluster.url)
        assert browser.post("/visits").status == 200
        before = cluster.store.statistics()
        assert browser.get("/me").json["visits"] == 1
        after = cluster.store.statistics()
        assert after.commands["hgetall"] > before.commands.get("hgetall", 0)
        assert after.reads > before.reads
        cluster.store.proxy.down()
        assert browser.get("/me").status == 503
        assert redis.Redis.from_url(cluster.store.url).ping(), "the store itself is well"
        cluster.store.proxy.reset()
        until(lambda: browser.get("/me").status == 200, "the store is back")
        assert browser.get("/me").json["visits"] == 1
        with pytest.raises(ClusterError, match="no replicas that could be disconnected: it is redis"):
            cluster.store.disconnect_replicas()

        cluster.configure({"SESSION_NAME": "nobody's", "SESSION_ROLLING": "maybe"})
        cluster.configure({"SESSION_NAME": "other"})
        cluster.restart("node-1")
        assert names_of_cookies(cluster) == {"session", "other"}


def names_of_cookies(cluster: ComposeCluster) -> set[str]:
    names = set()
    for _ in range(8):
        browser = Browser(cluster.url)
        assert browser.post("/visits").status == 200
        names |= set(browser.cookies)
    return names


def test_a_cluster_that_does_not_run_has_no_link() -> None:
    with pytest.raises(ClusterError, match="start it first"):
        _ = ComposeCluster(SPEC).store.proxy
