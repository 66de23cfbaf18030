"""Clusters of reference implementations, on real processes: they answer as our nodes do."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from deploy import ClusterSpec, LocalCluster, MemberState, NodeKind, StoreKind
from loadtest.targets.reference import local_cluster
from proxy import Balance
from tests.support.http_client import HttpClient, node_of
from tests.support.waiting import wait_until

KINDS = [pytest.param(NodeKind.EXPRESS, marks=pytest.mark.node), NodeKind.FLASK_SESSION]


def shared(kind: NodeKind, nodes: int = 2) -> ClusterSpec:
    return ClusterSpec(nodes=nodes, node=kind, store=StoreKind.REDIS, proxy={"login_rate": None})


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCluster]:
    with local_cluster(shared(request.param), tmp_path / "state") as running:
        yield running


def test_a_session_begun_on_one_node_continues_on_the_other(cluster: LocalCluster) -> None:
    visitor = HttpClient(cluster.url, authority=cluster.authority)
    visitor.ask("POST", "/visits", {})
    anonymous = visitor.cookies[cluster.spec.session_cookie]
    login = visitor.log_in(cluster.users)
    assert visitor.cookies[cluster.spec.session_cookie] != anonymous
    served = [node_of(login)]
    for number in range(2, 6):
        answer = visitor.ask("POST", "/visits", {})
        served.append(node_of(answer))
        assert answer.json() == {"visits": number}
    assert all(one != other for one, other in pairwise(served))
    assert visitor.ask("POST", "/cart", {"item": "apple", "quantity": 2}).json() == {"cart": {"apple": 2}}
    assert visitor.ask("POST", "/cart", {"item": "apple", "quantity": 1}).json() == {"cart": {"apple": 3}}
    me = visitor.ask("GET", "/me")
    node = node_of(me)
    assert me.json() == {"user": "alice", "node": node, "visits": 5, "cart": {"apple": 3}}
    assert visitor.ask("GET", "/account").json() == {"user": "alice"}
    visitor.ask("DELETE", "/cart", status=204)
    assert visitor.ask("GET", "/me").json()["cart"] == {}


def test_a_logout_on_one_node_is_final_on_the_other(cluster: LocalCluster) -> None:
    visitor, thief = (HttpClient(cluster.url, authority=cluster.authority) for _ in range(2))
    visitor.ask("POST", "/visits", {})
    visitor.log_in(cluster.users)
    thief.cookies.update(visitor.cookies)
    assert [thief.user, thief.user] == ["alice", "alice"]
    visitor.ask("POST", "/logout", {}, status=204)
    for _ in range(2):
        assert {"user": None, "visits": 0}.items() <= thief.ask("GET", "/me").json().items()
    visitor.ask("GET", "/account", status=401)


def test_wrong_requests_are_refused_as_our_nodes_refuse_them(cluster: LocalCluster) -> None:
    visitor = HttpClient(cluster.url, authority=cluster.authority)
    visitor.ask("GET", "/account", status=401)
    for user, password in (("alice", "wrong"), ("nobody", "wrong"), ("", "")):
        visitor.ask("POST", "/login", {"user": user, "password": password}, status=401)
    for body in ({"item": "apple", "quantity": 0}, {"item": "apple", "quantity": "1"}, {"item": 1, "quantity": 1}):
        visitor.ask("POST", "/cart", body, status=422)
    assert visitor.ask("GET", "/me").json()["user"] is None
    assert not visitor.cookies


def test_a_session_survives_killing_restarting_and_scaling_its_nodes(cluster: LocalCluster) -> None:
    visitor = HttpClient(cluster.url, authority=cluster.authority)
    visitor.log_in(cluster.users)
    cluster.kill("node-2")
    assert {visitor.ask("GET", "/me").json()["node"] for _ in range(4)} == {"node-1"}
    cluster.restart("node-2")
    cluster.scale(3)
    answers = [visitor.ask("GET", "/me").json() for _ in range(9)]
    assert {answer["node"] for answer in answers} == {"node-1", "node-2", "node-3"}
    cluster.restart("node-1")
    cluster.scale(1)
    assert {answer["user"] for answer in answers} == {"alice"} == {visitor.user}
    assert [member.state for member in cluster.members()] == [MemberState.RUNNING] * 3


def test_the_user_at_the_store_may_run_the_commands_it_needs_and_no_others(cluster: LocalCluster) -> None:
    visitor = HttpClient(cluster.url, authority=cluster.authority)
    visitor.log_in(cluster.users)
    visitor.ask("POST", "/visits", {})
    visitor.ask("POST", "/logout", {}, status=204)
    logs = "".join(Path(member.log).read_text() for member in cluster.members())
    assert "NOPERM" not in logs
    url_file = cluster.state_dir / "secrets" / "store-url"
    ours = "session:x" if cluster.spec.node is NodeKind.EXPRESS else "sess:x"
    with redis.Redis.from_url(url_file.read_text()) as client:
        for command in (f"GET {ours}", f"SET {ours} 1", "KEYS *", "SCAN 0", "EVAL return 0", "FLUSHALL", "HGETALL x"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_in_memory_belong_to_a_node_and_pinning_hides_it(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=2, node=kind, store=StoreKind.MEMORY)) as cluster:
        visitor = HttpClient(cluster.url, authority=cluster.authority)
        visitor.log_in(cluster.users)
        assert [visitor.user for _ in range(4)] == [None, "alice", None, "alice"]
        cluster.balance(Balance.STICKY)
        pinned = HttpClient(cluster.url, authority=cluster.authority)
        pinned.log_in(cluster.users)
        assert [pinned.user for _ in range(4)] == ["alice"] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_with_sentinels_a_session_survives_a_planned_and_an_unplanned_failover(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=2, node=kind, store=StoreKind.REDIS_HA)) as cluster:
        visitor = HttpClient(cluster.url, authority=cluster.authority)
        visitor.log_in(cluster.users)
        for number, planned in enumerate((True, False), 1):
            before = cluster.store.primary()
            if planned:
                cluster.store.failover()
            else:
                cluster.kill(before)
            wait_until(lambda before=before: cluster.store.primary() != before, "the next primary", timeout=40)  # type: ignore[misc]
            wait_until(lambda: visitor.get("/me").status_code == 200, "the nodes have found it", timeout=40)
            assert {visitor.user for _ in range(4)} == {"alice"}
            assert visitor.ask("POST", "/visits", {}).json() == {"visits": number}
        logs = "".join(Path(member.log).read_text() for member in cluster.members())
        assert "NOPERM" not in logs
        assert "permission" not in logs


@pytest.mark.parametrize("kind", KINDS)
def test_over_tls_the_cookie_is_for_tls_only(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=1, node=kind, store=StoreKind.REDIS, tls=True)) as cluster:
        visitor = HttpClient(cluster.url, authority=cluster.authority)
        (line,) = visitor.log_in(cluster.users).raw.headers.getlist("Set-Cookie")
        assert line.startswith(f"{cluster.spec.session_cookie}=")
        assert "; Secure" in line
        assert visitor.user == "alice"
