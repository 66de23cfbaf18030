"""Clusters of reference implementations, on real processes: they answer as our nodes do."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis
import requests

from deploy import ClusterSpec, LocalCluster, MemberState, NodeKind, StoreKind
from loadtest.targets import local_cluster
from proxy import Balance
from tests.support.waiting import wait_until

KINDS = [pytest.param(NodeKind.EXPRESS, marks=pytest.mark.node), NodeKind.FLASK_SESSION]


class Visitor:
    """One browser on a cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.browser = requests.Session()
        self.browser.trust_env = False
        self.browser.verify = str(cluster.authority) if cluster.authority else True

    def ask(self, method: str, path: str, body: object = None, status: int = 200) -> requests.Response:
        answer = self.browser.request(method, self.cluster.url + path, json=body, timeout=20)
        assert answer.status_code == status, answer.text
        return answer

    def log_in(self) -> requests.Response:
        return self.ask("POST", "/login", {"user": "alice", "password": self.cluster.users["alice"]})

    def user(self) -> str | None:
        found: str | None = self.ask("GET", "/me").json()["user"]
        return found


def shared(kind: NodeKind, nodes: int = 2) -> ClusterSpec:
    return ClusterSpec(nodes=nodes, node=kind, store=StoreKind.REDIS, proxy={"login_rate": None})


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCluster]:
    with local_cluster(shared(request.param), tmp_path / "state") as running:
        yield running


def test_a_session_begun_on_one_node_continues_on_the_other(cluster: LocalCluster) -> None:
    visitor = Visitor(cluster)
    visitor.ask("POST", "/visits", {})
    anonymous = visitor.browser.cookies[cluster.spec.session_cookie]
    login = visitor.log_in()
    assert visitor.browser.cookies[cluster.spec.session_cookie] != anonymous
    served = [login.headers["X-Served-By"]]
    for number in range(2, 6):
        answer = visitor.ask("POST", "/visits", {})
        served.append(answer.headers["X-Served-By"])
        assert answer.json() == {"visits": number}
    assert all(one != other for one, other in pairwise(served))
    assert visitor.ask("POST", "/cart", {"item": "apple", "quantity": 2}).json() == {"cart": {"apple": 2}}
    assert visitor.ask("POST", "/cart", {"item": "apple", "quantity": 1}).json() == {"cart": {"apple": 3}}
    me = visitor.ask("GET", "/me")
    node = me.headers["X-Served-By"]
    assert me.json() == {"user": "alice", "node": node, "visits": 5, "cart": {"apple": 3}}
    assert visitor.ask("GET", "/account").json() == {"user": "alice"}
    visitor.ask("DELETE", "/cart", status=204)
    assert visitor.ask("GET", "/me").json()["cart"] == {}


def test_a_logout_on_one_node_is_final_on_the_other(cluster: LocalCluster) -> None:
    visitor, thief = Visitor(cluster), Visitor(cluster)
    visitor.ask("POST", "/visits", {})
    visitor.log_in()
    thief.browser.cookies.update(visitor.browser.cookies)
    assert [thief.user(), thief.user()] == ["alice", "alice"]
    visitor.ask("POST", "/logout", {}, status=204)
    for _ in range(2):
        assert {"user": None, "visits": 0}.items() <= thief.ask("GET", "/me").json().items()
    visitor.ask("GET", "/account", status=401)


def test_wrong_requests_are_refused_as_our_nodes_refuse_them(cluster: LocalCluster) -> None:
    visitor = Visitor(cluster)
    visitor.ask("GET", "/account", status=401)
    for user, password in (("alice", "wrong"), ("nobody", "wrong"), ("", "")):
        visitor.ask("POST", "/login", {"user": user, "password": password}, status=401)
    for body in ({"item": "apple", "quantity": 0}, {"item": "apple", "quantity": "1"}, {"item": 1, "quantity": 1}):
        visitor.ask("POST", "/cart", body, status=422)
    assert visitor.ask("GET", "/me").json()["user"] is None
    assert not visitor.browser.cookies


def test_a_session_survives_killing_restarting_and_scaling_its_nodes(cluster: LocalCluster) -> None:
    visitor = Visitor(cluster)
    visitor.log_in()
    cluster.kill("node-2")
    assert {visitor.ask("GET", "/me").json()["node"] for _ in range(4)} == {"node-1"}
    cluster.restart("node-2")
    cluster.scale(3)
    answers = [visitor.ask("GET", "/me").json() for _ in range(9)]
    assert {answer["node"] for answer in answers} == {"node-1", "node-2", "node-3"}
    cluster.restart("node-1")
    cluster.scale(1)
    assert {answer["user"] for answer in answers} == {"alice"} == {visitor.user()}
    assert [member.state for member in cluster.members()] == [MemberState.RUNNING] * 3


def test_the_user_at_the_store_may_run_the_commands_it_needs_and_no_others(cluster: LocalCluster) -> None:
    visitor = Visitor(cluster)
    visitor.log_in()
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
        visitor = Visitor(cluster)
        visitor.log_in()
        assert [visitor.user() for _ in range(4)] == [None, "alice", None, "alice"]
        cluster.balance(Balance.STICKY)
        pinned = Visitor(cluster)
        pinned.log_in()
        assert [pinned.user() for _ in range(4)] == ["alice"] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_with_sentinels_a_session_survives_a_planned_and_an_unplanned_failover(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=2, node=kind, store=StoreKind.REDIS_HA)) as cluster:
        visitor = Visitor(cluster)
        visitor.log_in()
        me = f"{cluster.url}/me"
        for number, planned in enumerate((True, False), 1):
            before = cluster.store.primary()
            if planned:
                cluster.store.failover()
            else:
                cluster.kill(before)
            wait_until(lambda before=before: cluster.store.primary() != before, "the next primary", timeout=40)  # type: ignore[misc]
            wait_until(lambda: visitor.browser.get(me, timeout=20).ok, "the nodes have found it", timeout=40)
            assert {visitor.user() for _ in range(4)} == {"alice"}
            assert visitor.ask("POST", "/visits", {}).json() == {"visits": number}
        logs = "".join(Path(member.log).read_text() for member in cluster.members())
        assert "NOPERM" not in logs
        assert "permission" not in logs


@pytest.mark.parametrize("kind", KINDS)
def test_over_tls_the_cookie_is_for_tls_only(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=1, node=kind, store=StoreKind.REDIS, tls=True)) as cluster:
        visitor = Visitor(cluster)
        visitor.log_in()
        seen = {cookie.name: cookie.secure for cookie in visitor.browser.cookies}
        assert seen == {cluster.spec.session_cookie: True}
        assert visitor.user() == "alice"
