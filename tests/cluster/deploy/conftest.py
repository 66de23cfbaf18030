"""A running cluster for the tests of a module: in order before and after each test."""

from collections.abc import Iterator

import pytest

from deploy import Cluster, Member, MemberState


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    """The module's cluster, all of whose members run."""
    yield started
    for member in started.members():
        if member.state is not MemberState.RUNNING:
            started.restart(member.name)
    assert started.node_count == started.spec.nodes
    started.wait_ready()


def find_member(cluster: Cluster, name: str) -> Member:
    return next(member for member in cluster.members() if member.name == name)
