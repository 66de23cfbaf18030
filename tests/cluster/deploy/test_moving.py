"""A node gets another address, and a proxy that asks the DNS finds it."""

import pytest

from deploy import ClusterError, ClusterSpec, ComposeCluster, Discovery, LocalCluster, StoreKind
from tests.support.traffic import Browser
from tests.support.waiting import until


@pytest.mark.docker
def test_a_container_that_moved_serves_again_and_cannot_be_drained() -> None:
    with ComposeCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS, discovery=Discovery.DNS)) as cluster:
        before = {member.name: member.address for member in cluster.members()}
        cluster.move("node-2")
        after = {member.name: member.address for member in cluster.members()}
        assert {name for name in before if before[name] != after[name]} == {"node-2"}
        seen: set[str | None] = set()

        def served() -> bool:
            seen.add(Browser(cluster.url).get("/me").node)
            return {"node-1", "node-2"} <= seen

        until(served, "both of them serve")
        with pytest.raises(ClusterError, match="a node that the proxy finds by DNS can't be taken out of rotation"):
            cluster.drain("node-1")
        with pytest.raises(ClusterError, match="proxy is no node and cannot be moved"):
            cluster.move("proxy")


def test_local_processes_neither_move_nor_are_found_by_dns() -> None:
    with pytest.raises(ClusterError, match="discovery by dns is for containers"):
        LocalCluster(ClusterSpec(discovery=Discovery.DNS))
