"""What all clusters have in common, on one that is not real."""

import pytest

from deploy import ClusterError, ClusterSpec
from tests.support.fake_cluster import FakeCluster


class Stuck(FakeCluster):
    def stop(self) -> None:
        raise ClusterError("the engine does not answer")


def test_why_a_start_failed_comes_first_where_ending_it_fails_too() -> None:
    with pytest.raises(ClusterError, match=r"^no store; and not all of it could be ended: the engine does not answer$"):
        Stuck(ClusterSpec(), broken="no store").start()
