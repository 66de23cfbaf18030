"""What a cluster of containers can be told of its lone store, its link to it, and its nodes' settings."""

import pytest
import redis

from deploy import ClusterError, ClusterSpec, ComposeCluster, Database, StoreKind
from tests.deploy.traffic import Browser
from tests.deploy.waiting import until


@pytest.mark.docker
@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec(nodes=1, store=StoreKind.REDIS, store_link=True),
        ClusterSpec(nodes=1, store=StoreKind.SQL, database=Database.MYSQL, store_link=True, start_timeout=110),
    ],
    ids=lambda spec: str(spec.store),
)
def test_a_link_stands_between_the_nodes_and_the_store(spec: ClusterSpec) -> None:
    with ComposeCluster(spec) as cluster:
        assert {member.role.value for member in cluster.members()} == {"proxy", "node", "store"}
        browser = Browser(cluster.url)
        assert browser.post("/visits").status == 200
        cluster.link.cut()
        assert browser.get("/me").status == 503
        cluster.link.mend()
        until(lambda: browser.get("/me").status == 200, "the store is back")
        assert browser.get("/me").json["visits"] == 1


@pytest.mark.docker
def test_nodes_take_up_what_they_are_configured_to_when_they_restart_and_the_store_can_be_asked() -> None:
    with ComposeCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS)) as cluster:
        cluster.configure({"SESSION_NAME": "nobody's"})
        cluster.configure({"SESSION_NAME": "other"})
        cluster.restart("node-1")
        names = set()
        for _ in range(8):
            browser = Browser(cluster.url)
            assert browser.post("/visits").status == 200
            names |= set(browser.cookies)
        assert names == {"session", "other"}
        assert redis.Redis.from_url(cluster.store_url).ping()
        with pytest.raises(ClusterError, match="no link to its store: ask for one with store_link"):
            _ = cluster.link
        with pytest.raises(ClusterError, match="no replicas that could be cut off: it is redis"):
            cluster.cut_replicas()
