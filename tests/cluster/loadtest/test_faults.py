"""Every fault on a real cluster: it does what it says, its undo puts it right, and an undo alone changes nothing."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from deploy import Cluster, ClusterError, ClusterSpec, LocalCluster, MemberState, Role, StoreKind, StoreSettings
from deploy.spec import ONE_ADDRESS
from loadtest import faults
from nodes.sessions import RedisStore
from tests.support.http_client import HttpClient
from tests.support.traffic import served_by, set_cookie_names
from tests.support.waiting import wait_until

SPEC = ClusterSpec(
    nodes=2,
    store=StoreKind.REDIS,
    store_proxy=True,
    store_settings=StoreSettings(max_memory="6mb"),
    node_settings={**ONE_ADDRESS, "SESSION_ANONYMOUS_PERCENT": "100"},
    proxy={"read_timeout": 2.0, "login_rate": None},
)


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with LocalCluster(SPEC) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    yield started
    assert {member.state for member in started.members()} == {MemberState.RUNNING}, "the undo is complete"
    wait_until(lambda: HttpClient(started.url).post("/visits", json={}).status_code == 200, "the store serves")
    assert served_by(started.url) == {"node-1", "node-2"}


def state(cluster: Cluster, name: str) -> MemberState:
    return next(member.state for member in cluster.members() if member.name == name)


@pytest.mark.parametrize(
    ("fault", "becomes"),
    [
        (faults.kill("node-2"), MemberState.ENDED),
        (faults.pause("node-2"), MemberState.PAUSED),
    ],
    ids=lambda value: getattr(value, "what", None),
)
def test_a_node_is_killed_or_paused_and_comes_back(cluster: Cluster, fault: faults.Fault, becomes: MemberState) -> None:
    fault.undo(cluster)
    assert state(cluster, "node-2") is MemberState.RUNNING
    fault.apply(cluster)
    assert state(cluster, "node-2") is becomes
    fault.undo(cluster)


def test_a_rolling_restart_leaves_no_process_as_it_was(cluster: Cluster) -> None:
    before = {member.pid for member in cluster.members() if member.role is Role.NODE}
    faults.rolling_restart(2).apply(cluster)
    after = {member.pid for member in cluster.members() if member.role is Role.NODE}
    assert len(after) == 2
    assert not before & after


@pytest.mark.nightly
def test_a_deployment_reaches_every_node_and_the_last_one_stays(cluster: Cluster) -> None:
    faults.rolling_deploy(2, {"SESSION_NAME": "second"}, {"SESSION_NAME": "third"}).apply(cluster)
    assert set_cookie_names(cluster.url) == {"third"}
    faults.rolling_deploy(2, {}).apply(cluster)


def test_a_reload_keeps_the_master_process_of_the_proxy(cluster: Cluster) -> None:
    master = next(member.pid for member in cluster.members() if member.role is Role.PROXY)
    faults.reload(3).apply(cluster)
    faults.reload(3).undo(cluster)
    assert next(member.pid for member in cluster.members() if member.role is Role.PROXY) == master


def test_scaling_goes_out_and_back_to_the_number_in_the_spec(cluster: Cluster) -> None:
    fault = faults.scale(3)
    fault.undo(cluster)
    fault.apply(cluster)
    assert served_by(cluster.url) == {"node-1", "node-2", "node-3"}
    fault.undo(cluster)


def test_a_full_store_refuses_writes_serves_readers_and_is_emptied_again(cluster: Cluster) -> None:
    fault, reader = faults.FILL_STORE, HttpClient(cluster.url)
    fault.undo(cluster)
    reader.log_in(cluster.users)
    fault.apply(cluster)
    assert HttpClient(cluster.url).post("/visits", json={}).status_code == 503
    assert reader.get("/me").json()["user"] == "alice"
    fault.undo(cluster)
    assert HttpClient(cluster.url).post("/visits", json={}).status_code == 200


def test_a_store_is_filled_to_a_share_and_emptied_again(cluster: Cluster) -> None:
    fault = faults.fill_store_to(0.75)
    fault.undo(cluster)
    before = used_share(cluster)
    fault.apply(cluster)
    assert before < 0.6
    assert 0.7 < used_share(cluster) < 0.85
    fault.undo(cluster)
    assert used_share(cluster) < 0.6


def used_share(cluster: Cluster) -> float:
    with closing(RedisStore.from_url(cluster.store.url)) as store:
        return store.used_share() or 0.0


@pytest.mark.parametrize(
    "fault", [faults.STORE_DOWN, faults.BLACKHOLE, faults.latency(1.0)], ids=lambda fault: fault.what
)
def test_the_network_to_the_store_breaks_and_is_reset(cluster: Cluster, fault: faults.Fault) -> None:
    browser = HttpClient(cluster.url)
    assert browser.post("/visits", json={}).status_code == 200
    fault.undo(cluster)
    assert browser.get("/me").status_code == 200
    fault.apply(cluster)
    assert browser.get("/me").status_code == 503
    fault.undo(cluster)
    wait_until(lambda: browser.get("/me").status_code == 200, "the store is in reach")
    assert browser.get("/me").json()["visits"] == 1


def test_a_sequence_is_undone_in_reverse_even_if_one_undo_fails(cluster: Cluster) -> None:
    undone: list[str] = []

    def stuck(name: str) -> faults.Fault:
        def undo(cluster: Cluster) -> None:
            undone.append(name)
            raise ClusterError(f"{name} is stuck")

        return replace(faults.NOTHING, undo=undo)

    with pytest.raises(ClusterError, match="second is stuck"):
        faults.fault_sequence(stuck("first"), stuck("second")).undo(cluster)
    assert undone == ["second", "first"]


def test_a_sequence_stops_at_a_fault_that_fails_and_undoes_the_earlier_ones(cluster: Cluster) -> None:
    both = faults.fault_sequence(faults.kill("node-2"), faults.kill("nobody"), faults.pause("node-1"))
    assert both.what == "kill node-2, kill nobody, pause node-1"
    with pytest.raises(ClusterError, match="no member 'nobody'"):
        both.apply(cluster)
    assert state(cluster, "node-2") is MemberState.ENDED
    assert state(cluster, "node-1") is MemberState.RUNNING, "what comes after the one that failed is not done"
    both.undo(cluster)


def test_paused_members_are_resumed_before_others_are_restarted(cluster: Cluster) -> None:
    faults.kill("store").apply(cluster)
    faults.pause("node-1").apply(cluster)
    faults.restore(cluster)


@pytest.fixture(scope="module")
def started_replicated() -> Iterator[Cluster]:
    with LocalCluster(ClusterSpec(nodes=1, store=StoreKind.REDIS_HA)) as cluster:
        yield cluster


@pytest.fixture
def replicated(started_replicated: Cluster) -> Iterator[Cluster]:
    yield started_replicated
    assert {member.state for member in started_replicated.members()} == {MemberState.RUNNING}, "the undo is complete"
    wait_until(lambda: writes(started_replicated), "the store serves", timeout=40)


def writes(cluster: Cluster) -> bool:
    return HttpClient(cluster.url).post("/visits", json={}).status_code == 200


def test_a_killed_primary_comes_back_as_a_replica(replicated: Cluster) -> None:
    before, fault = replicated.store.primary(), faults.KILL_PRIMARY
    fault.undo(replicated)
    assert replicated.store.primary() == before
    fault.apply(replicated)
    wait_until(lambda: replicated.store.primary() != before and writes(replicated), "another one has taken over")
    fault.undo(replicated)
    assert replicated.store.primary() != before


def test_a_planned_failover_changes_the_primary(replicated: Cluster) -> None:
    before = replicated.store.primary()
    faults.FAILOVER.apply(replicated)
    assert replicated.store.primary() != before


def test_a_primary_without_replicas_refuses_writes_until_they_are_back(replicated: Cluster) -> None:
    fault = faults.DISCONNECT_REPLICAS
    fault.undo(replicated)
    assert writes(replicated)
    fault.apply(replicated)
    wait_until(lambda: not writes(replicated), "writes are refused")
    fault.undo(replicated)
