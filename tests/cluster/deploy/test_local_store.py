"""The store of a local cluster: its proxy, its append-only file, its errors; and the configuration of nodes."""

from pathlib import Path

import pytest
import redis

from deploy import ClusterError, ClusterSpec, LocalCluster, StoreKind, StoreSettings
from tests.support.traffic import Visitor, set_cookie_names
from tests.support.waiting import lives, wait_until

SPEC = ClusterSpec(nodes=1, store=StoreKind.REDIS, store_proxy=True, store_settings=StoreSettings(append_only=True))


def test_a_proxy_before_the_store_breaks_its_network_and_ends_with_the_cluster() -> None:
    with LocalCluster(SPEC) as cluster:
        browser = Visitor(cluster.url)
        assert browser.post("/visits").status == 200
        cluster.store.proxy.down()
        assert browser.get("/me").status == 503
        assert redis.Redis.from_url(cluster.store.url).ping(), "the store itself is well"
        cluster.store.proxy.reset()
        wait_until(lambda: browser.get("/me").status == 200, "the store is back")
        assert browser.get("/me").json["visits"] == 1
        pid = cluster.store.proxy.pid
    assert not lives(pid)


def test_an_append_only_store_survives_a_kill_and_its_file_goes_with_the_cluster(
    tmp_path: Path,
) -> None:
    with LocalCluster(SPEC, tmp_path) as cluster:
        browser = Visitor(cluster.url)
        assert browser.post("/visits").status == 200
        cluster.kill("store")
        assert browser.get("/me").status == 503
        cluster.restart("store")
        wait_until(lambda: browser.get("/me").status == 200, "the store is back")
        assert browser.get("/me").json["visits"] == 1
        assert list(tmp_path.rglob("*.aof"))
    assert not list(tmp_path.rglob("*.aof"))


def test_nodes_take_their_configuration_when_they_restart() -> None:
    with LocalCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS)) as cluster:
        cluster.configure({"SESSION_NAME": "other"})
        cluster.restart("node-1")
        assert set_cookie_names(cluster.url) == {"session", "other"}


def test_a_store_without_a_proxy_an_address_or_replicas_says_so() -> None:
    with LocalCluster(ClusterSpec(nodes=1)) as cluster:
        with pytest.raises(ClusterError, match="the store has no single address: it is memory"):
            _ = cluster.store.url
    with LocalCluster(ClusterSpec(nodes=1, store=StoreKind.REDIS)) as cluster:
        with pytest.raises(ClusterError, match="no proxy to its store: set store_proxy"):
            _ = cluster.store.proxy
        with pytest.raises(ClusterError, match="no replicas that could be disconnected: it is redis"):
            cluster.store.disconnect_replicas()


def test_an_option_that_the_store_refuses_is_reported() -> None:
    spec = ClusterSpec(nodes=1, store=StoreKind.REDIS, store_settings=StoreSettings(max_memory="a lot"))
    with pytest.raises(ClusterError, match="store ended as it started"), LocalCluster(spec):
        pass
