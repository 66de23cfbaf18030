"""Faults of a store with a primary and replicas: each does what it says, and its undo puts it right."""

from collections.abc import Iterator

import pytest

from deploy import Cluster, ClusterSpec, LocalCluster, MemberState, StoreKind
from loadtest import faults
from tests.support.traffic import Browser
from tests.support.waiting import until


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with LocalCluster(ClusterSpec(nodes=1, store=StoreKind.REDIS_HA)) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    yield started
    assert {member.state for member in started.members()} == {MemberState.RUNNING}, "whatever was done is undone"
    until(lambda: Browser(started.url).post("/visits").status == 200, "the store serves", timeout=40)


def writes(cluster: Cluster) -> bool:
    return Browser(cluster.url).post("/visits").status == 200


def test_the_primary_is_killed_whoever_that_is_and_comes_back_as_a_replica(cluster: Cluster) -> None:
    before, fault = cluster.store.primary(), faults.KillPrimary()
    fault.undo(cluster)
    assert cluster.store.primary() == before
    fault.apply(cluster)
    until(lambda: cluster.store.primary() != before and writes(cluster), "another one has taken over")
    fault.undo(cluster)
    assert cluster.store.primary() != before


def test_a_planned_failover_changes_the_primary(cluster: Cluster) -> None:
    before = cluster.store.primary()
    faults.FailOver().apply(cluster)
    assert cluster.store.primary() != before


def test_a_primary_that_is_cut_off_from_its_replicas_refuses_writes_until_they_are_back(cluster: Cluster) -> None:
    fault = faults.CutReplicas()
    fault.undo(cluster)
    assert writes(cluster)
    fault.apply(cluster)
    until(lambda: not writes(cluster), "writes are refused")
    fault.undo(cluster)
