"""What all clusters have in common, on one that is not real."""

from collections.abc import Sequence

import pytest

from deploy import ClusterError, ClusterSpec, MemberState, StoreKind
from proxy import Balance, ServerState, UpstreamServer
from tests.support.fake_cluster import FakeCluster, FakeProxy


class Stuck(FakeCluster):
    def stop(self) -> None:
        raise ClusterError("the engine does not answer")


class NotedProxy(FakeProxy):
    """The nodes in rotation after each change."""

    def __init__(self) -> None:
        self.rotations: list[list[str]] = []

    def install(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None:
        self.rotations.append([node.name for node in nodes if node.state is ServerState.UP])


def test_why_a_start_failed_comes_first_where_ending_it_fails_too() -> None:
    with pytest.raises(ClusterError, match=r"^no store; and not all of it could be ended: the engine does not answer$"):
        Stuck(ClusterSpec(), broken="no store").start()


def test_the_last_node_in_rotation_cannot_be_drained_until_another_one_is_back() -> None:
    with FakeCluster(ClusterSpec(nodes=2)) as cluster:
        cluster.drain("node-1")
        with pytest.raises(ClusterError, match=r"^node-2 cannot be drained: no other node is in rotation$"):
            cluster.drain("node-2")
        assert [one.state for one in cluster.members()][1:3] == [MemberState.DRAINED, MemberState.RUNNING]
        cluster.restart("node-1")
        cluster.drain("node-2")
        assert [one.state for one in cluster.members()][1:3] == [MemberState.RUNNING, MemberState.DRAINED]


@pytest.mark.parametrize("broken", ["kill", "pause"])
def test_no_node_is_drained_beside_one_that_can_not_answer(broken: str) -> None:
    with FakeCluster(ClusterSpec(nodes=2)) as cluster:
        cluster.kill("node-1") if broken == "kill" else cluster.pause("node-1")
        with pytest.raises(ClusterError, match="no other node is in rotation"):
            cluster.drain("node-2")
        cluster.restart("node-1")
        cluster.drain("node-2")


def test_the_last_node_in_rotation_stays_there_while_it_is_restarted() -> None:
    with FakeCluster(ClusterSpec(nodes=2)) as cluster:
        cluster._proxy = proxy = NotedProxy()
        cluster.drain("node-1")
        cluster.restart("node-2")
        assert proxy.rotations == [["node-2"], ["node-2"]]


@pytest.mark.parametrize("name", ["proxy", "node-1", "store"])
def test_a_paused_member_is_killed(name: str) -> None:
    with FakeCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS)) as cluster:
        cluster.pause(name)
        cluster.kill(name)
        assert {one.name for one in cluster.members() if one.state is MemberState.ENDED} == {name}
