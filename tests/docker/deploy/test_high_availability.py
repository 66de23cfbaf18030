"""A store of several servers in containers, held to the tests of local processes."""

from collections.abc import Iterator

import pytest

from deploy import Cluster, ClusterSpec, ComposeCluster, StoreKind, StoreSettings
from nodes.sessions import Outage
from tests.cluster.deploy.test_high_availability import (  # noqa: F401
    test_a_killed_primary_is_not_restarted_before_another_one_is_promoted,
    test_a_planned_failover_promotes_a_replica_and_loses_nothing,
    test_members_are_the_proxy_the_nodes_the_servers_and_the_sentinels,
    test_no_request_fails_when_the_primary_is_killed_and_comes_back_as_a_replica,
    test_statistics_count_commands_of_clients_at_the_primaries_alone,
    with_sentinels,
)
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

KINDS = (StoreKind.REDIS_HA, pytest.param(StoreKind.REDIS_CLUSTER, marks=pytest.mark.nightly))
"""`make test-docker` has a Redis Cluster in containers in `compose/test_compose_ha.py`."""


@pytest.fixture(scope="module", params=KINDS)
def started(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    settings = StoreSettings(outage=Outage.WAIT)
    with ComposeCluster(ClusterSpec(nodes=2, store=request.param, store_settings=settings, start_timeout=110)) as made:
        yield made


@with_sentinels
def test_a_primary_without_its_replicas_refuses_writes_until_they_are_back(started: Cluster) -> None:
    started.configure({"STORE_OUTAGE": "fail_fast"})
    for node in ("node-1", "node-2"):
        started.restart(node)
    visitor, primary = HttpClient(started.url), started.store.primary()
    started.store.disconnect_replicas()
    wait_until(lambda: visitor.post("/visits", json={}).status_code == 503, "writes are refused", timeout=20)
    assert started.store.primary() == primary
    started.store.reconnect_replicas()
    wait_until(lambda: visitor.post("/visits", json={}).status_code == 200, "writes are taken", timeout=20)
