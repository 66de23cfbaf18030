"""The contract of every cluster, here on local processes; `tests.docker.deploy.test_contract` runs it on containers."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from deploy import Cluster, ClusterError, ClusterSpec, LocalCluster, MemberState, Role, StoreKind, StoreSettings
from proxy import Balance
from tests.cluster.deploy.conftest import find_member
from tests.support.http_client import HttpClient, node_of
from tests.support.traffic import Traffic, served_by, set_cookie_names
from tests.support.waiting import lives, wait_until

NODES = ["node-1", "node-2", "node-3"]
SPEC = ClusterSpec(
    store=StoreKind.REDIS,
    store_proxy=True,
    store_settings=StoreSettings(append_only=True),
    start_timeout=110,
    node_settings={"SESSION_MAX_BYTES": "2000"},
    proxy={"read_timeout": 2.0, "max_body_bytes": 3000},
)


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with LocalCluster(SPEC) as cluster:
        yield cluster


def test_members_have_a_name_a_role_an_address_and_a_state(cluster: Cluster) -> None:
    members = cluster.members()
    assert [(one.name, one.role) for one in members] == [
        ("proxy", Role.PROXY),
        *((name, Role.NODE) for name in NODES),
        ("store", Role.STORE),
    ]
    assert {one.state for one in members} == {MemberState.RUNNING}
    assert len({one.pid for one in members}) == len({one.address for one in members}) == 5
    assert all(one.pid and one.log for one in members)


def test_the_last_lines_of_a_log_are_those_of_the_member_and_no_more(cluster: Cluster) -> None:
    browser = HttpClient(cluster.url)
    for _ in range(6):
        browser.get("/health")
    wait_until(lambda: len(cluster.log_lines("node-2", 2)) == 2, "two lines of the log")
    assert all('"node": "node-2"' in line or '"node":"node-2"' in line for line in cluster.log_lines("node-2", 2))
    assert any("Ready to accept connections" in line for line in cluster.log_lines("store", 200))
    with pytest.raises(ClusterError, match="no member 'node-9'"):
        cluster.log_lines("node-9", 2)


def test_a_login_at_one_node_is_known_to_every_node(cluster: Cluster) -> None:
    browser = HttpClient(cluster.url)
    browser.log_in(cluster.users, "bob")
    answers = [browser.get("/me") for _ in range(12)]
    assert {node_of(answer) for answer in answers} == set(NODES)
    assert {answer.json()["user"] for answer in answers} == {"bob"}


def test_users_have_random_passwords(cluster: Cluster) -> None:
    assert list(cluster.users) == ["alice", "bob", "carol"]
    assert all(len(password) >= 16 for password in cluster.users.values())
    assert HttpClient(cluster.url).post("/login", json={"user": "alice", "password": "alice"}).status_code == 401


def test_the_nodes_get_the_settings_of_the_spec(cluster: Cluster) -> None:
    browser = HttpClient(cluster.url)
    answers = [browser.post("/cart", json={"item": f"{number:060}", "quantity": 1}).status_code for number in range(40)]
    assert (answers[0], answers[-1]) == (200, 413)


def test_the_proxy_gets_the_settings_of_the_spec(cluster: Cluster) -> None:
    refused = HttpClient(cluster.url).post("/cart", json={"item": "a" * 3000, "quantity": 1})
    assert (refused.status_code, node_of(refused)) == (413, "")


def test_a_running_cluster_is_not_started_again(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="running already"):
        cluster.start()
    assert served_by(cluster.url, 24) == set(NODES)


@pytest.mark.alone
def test_no_request_fails_while_it_is_scaled_out_and_in_again(cluster: Cluster) -> None:
    with Traffic(cluster.url) as traffic:
        cluster.scale(5)
        assert [one.name for one in cluster.members() if one.role is Role.NODE] == [*NODES, "node-4", "node-5"]
        assert cluster.node_count == 5
        wait_until(lambda: {"node-4", "node-5"} <= set(traffic.served), "the new nodes serve")
        cluster.scale(3)
        traffic.served.clear()
        wait_until(lambda: set(NODES) <= set(traffic.served), "the old nodes serve on")
    assert traffic.failed == []
    assert set(traffic.served) == set(NODES)


@pytest.mark.alone
def test_no_read_fails_when_a_node_is_killed_and_restarted(cluster: Cluster) -> None:
    cluster.kill("node-2")
    assert find_member(cluster, "node-2").state is MemberState.ENDED
    assert find_member(cluster, "node-2").pid is None
    assert cluster.exit_reason("node-2") in {"killed by SIGKILL", "exit status 137"}
    assert cluster.exit_reason("node-1") == ""
    assert served_by(cluster.url, 24) == {"node-1", "node-3"}
    cluster.restart("node-2")
    assert find_member(cluster, "node-2").state is MemberState.RUNNING
    assert served_by(cluster.url, 24) == set(NODES)


@pytest.mark.alone
def test_no_request_fails_while_a_node_that_serves_is_restarted(cluster: Cluster) -> None:
    before = find_member(cluster, "node-1").pid
    with Traffic(cluster.url) as traffic:
        cluster.restart("node-1")
        traffic.served.clear()
        wait_until(lambda: traffic.served["node-1"] > 0, "it serves again")
    assert traffic.failed == []
    assert find_member(cluster, "node-1").pid != before


def test_members_answers_quickly_in_another_thread_during_a_restart(cluster: Cluster) -> None:
    restart = threading.Thread(target=cluster.restart, args=("node-1",))
    restart.start()
    seen, slowest = set[MemberState](), 0.0
    while restart.is_alive():
        began = time.monotonic()
        seen.add(find_member(cluster, "node-1").state)
        slowest = max(slowest, time.monotonic() - began)
    restart.join()
    assert MemberState.ENDED in seen
    assert slowest < 5  # the engine is slow where others use it


def test_a_paused_node_is_passed_over_until_it_is_resumed(cluster: Cluster) -> None:
    cluster.pause("node-3")
    assert find_member(cluster, "node-3").state is MemberState.PAUSED
    assert served_by(cluster.url) == {"node-1", "node-2"}
    cluster.resume("node-3")
    assert find_member(cluster, "node-3").state is MemberState.RUNNING
    wait_until(lambda: node_of(HttpClient(cluster.url).get("/live")) == "node-3", "it serves again")


def test_a_drained_node_gets_nothing_new_until_it_is_restarted(cluster: Cluster) -> None:
    with Traffic(cluster.url) as traffic:
        cluster.drain("node-2")
        traffic.served.clear()
        wait_until(lambda: traffic.served.total() > 20, "requests are answered")
    assert traffic.failed == []
    assert set(traffic.served) == {"node-1", "node-3"}
    assert find_member(cluster, "node-2").state is MemberState.DRAINED
    cluster.restart("node-2")
    assert served_by(cluster.url, 24) == set(NODES)


def test_the_policy_changes_under_load_and_pinned_clients_stay_at_a_drained_node(cluster: Cluster) -> None:
    with Traffic(cluster.url) as traffic:
        cluster.balance(Balance.STICKY)
    assert traffic.failed == []
    assert cluster.policy is Balance.STICKY
    pinned: dict[str, HttpClient] = {}
    while set(pinned) != set(NODES):
        browser = HttpClient(cluster.url)
        pinned[node_of(browser.get("/me"))] = browser
    for node, browser in pinned.items():
        assert {node_of(browser.get("/me")) for _ in range(4)} == {node}
    cluster.drain("node-1")
    assert {node_of(pinned["node-1"].get("/me")) for _ in range(6)} == {"node-1"}
    assert served_by(cluster.url, 24) == {"node-2", "node-3"}
    cluster.restart("node-1")
    cluster.balance(Balance.ROUND_ROBIN)
    assert "node" not in set_cookie_names(cluster.url)


def test_without_its_store_a_node_is_live_and_the_store_comes_back_with_its_data(cluster: Cluster) -> None:
    browser = HttpClient(cluster.url)
    assert browser.post("/visits", json={}).status_code == 200
    cluster.kill("store")
    assert browser.get("/live").status_code == 200
    assert browser.get("/me").status_code == 503
    assert browser.get("/ready").status_code == 503
    with pytest.raises(ClusterError, match=r"not ready within 0\.5 s"):
        cluster.wait_ready(timeout=0.5)
    cluster.restart("store")
    cluster.wait_ready()
    wait_until(lambda: browser.get("/me").status_code == 200, "the store is back")
    assert browser.get("/me").json()["visits"] == 1


def test_a_fault_proxy_breaks_the_network_between_the_nodes_and_the_store(cluster: Cluster) -> None:
    browser = HttpClient(cluster.url)
    assert browser.post("/visits", json={}).status_code == 200
    cluster.store.proxy.down()
    assert browser.get("/me").status_code == 503
    with redis.Redis.from_url(cluster.store.url) as client:
        assert client.ping(), "the store itself is well"
    cluster.store.proxy.reset()
    wait_until(lambda: browser.get("/me").status_code == 200, "the store is back")
    assert browser.get("/me").json()["visits"] == 1


def test_statistics_count_the_commands_of_the_nodes(cluster: Cluster) -> None:
    before = cluster.store.statistics()
    browser = HttpClient(cluster.url)
    for _ in range(3):
        browser.post("/visits", json={})
    after = cluster.store.statistics()
    assert after.commands["hgetall"] - before.commands.get("hgetall", 0) >= 2
    assert after.reads > before.reads


def test_nodes_take_their_configuration_when_they_restart(cluster: Cluster) -> None:
    cluster.configure({"SESSION_NAME": "nobody's", "SESSION_ROLLING": "maybe"})
    cluster.configure({"SESSION_NAME": "other"})
    cluster.restart("node-1")
    assert set_cookie_names(cluster.url) == {"session", "other"}
    cluster.configure({})
    cluster.restart("node-1")
    assert set_cookie_names(cluster.url) == {"session"}


def test_the_proxy_comes_back_at_its_address(cluster: Cluster) -> None:
    url = cluster.url
    cluster.kill("proxy")
    with pytest.raises(ClusterError, match="restart it first"):
        cluster.scale(4)
    cluster.restart("proxy")
    assert cluster.url == url
    assert served_by(cluster.url, 24) == set(NODES)


def test_an_impossible_change_is_refused_in_one_line_and_changes_nothing(cluster: Cluster) -> None:
    before = cluster.members()
    with pytest.raises(ClusterError, match="no replica"):
        cluster.store.failover()
    with pytest.raises(ClusterError, match="no member 'node-9': it has proxy, node-1"):
        cluster.kill("node-9")
    with pytest.raises(ClusterError, match="nodes must be between 1 and 100, not 0"):
        cluster.scale(0)
    with pytest.raises(ClusterError, match="not 10,000"):
        cluster.scale(10_000)
    with pytest.raises(ClusterError, match="store is not a node"):
        cluster.drain("store")
    assert cluster.members() == before


def test_machines_and_releases_are_refused_in_one_line_or_work(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"^the cluster runs on this machine alone: only a cluster"):
        _ = cluster.machines
    with pytest.raises(ClusterError, match=r"^a broken release cannot be rolled out: nothing but Swarm"):
        cluster.roll_out(broken=True)


def test_a_cluster_with_a_paused_member_stops(started: Cluster) -> None:
    """The last test: afterwards there is no cluster."""
    started.pause("node-1")
    fault_proxy = started.store.proxy.pid
    started.stop()
    started.stop()
    assert not lives(fault_proxy)
    with pytest.raises(ClusterError, match="start it first"):
        started.members()
    with pytest.raises(ClusterError, match="start it first"):
        _ = started.url
