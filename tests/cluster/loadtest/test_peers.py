"""Clusters whose nodes are somebody else's, on real processes: they do what ours do, and lose what they lose."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis
import requests

from deploy import ClusterError, ClusterSpec, LocalCluster, MemberState, NodeKind, StoreKind
from loadtest import Generator
from loadtest.protocol import Start
from loadtest.targets import PeerError, application_of, install, local_cluster
from loadtest.targets.install import install_express
from proxy import Balance
from tests.support.waiting import until

PEERS = [pytest.param(NodeKind.EXPRESS, marks=pytest.mark.node), NodeKind.FLASK_SESSION]


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


@pytest.fixture(params=PEERS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCluster]:
    with local_cluster(shared(request.param), tmp_path / "state") as running:
        yield running


def test_who_logs_in_on_one_node_goes_on_on_the_other(cluster: LocalCluster) -> None:
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


def test_what_is_wrong_is_refused_as_our_nodes_refuse_it(cluster: LocalCluster) -> None:
    visitor = Visitor(cluster)
    visitor.ask("GET", "/account", status=401)
    for user, password in (("alice", "wrong"), ("nobody", "wrong"), ("", "")):
        visitor.ask("POST", "/login", {"user": user, "password": password}, status=401)
    for body in ({"item": "apple", "quantity": 0}, {"item": "apple", "quantity": "1"}, {"item": 1, "quantity": 1}):
        visitor.ask("POST", "/cart", body, status=422)
    assert visitor.ask("GET", "/me").json()["user"] is None
    assert not visitor.browser.cookies


def test_nobody_is_logged_out_by_a_node_that_dies_comes_back_and_is_joined_by_others(cluster: LocalCluster) -> None:
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


def test_its_user_at_the_store_can_do_what_it_does_and_nothing_else(cluster: LocalCluster) -> None:
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


@pytest.mark.parametrize("kind", PEERS)
def test_with_sessions_in_memory_each_node_has_its_own_and_pinning_hides_it(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=2, node=kind, store=StoreKind.MEMORY)) as cluster:
        visitor = Visitor(cluster)
        visitor.log_in()
        assert [visitor.user() for _ in range(4)] == [None, "alice", None, "alice"]
        cluster.balance(Balance.STICKY)
        pinned = Visitor(cluster)
        pinned.log_in()
        assert [pinned.user() for _ in range(4)] == ["alice"] * 4


@pytest.mark.parametrize("kind", PEERS)
def test_with_sentinels_they_find_the_next_primary_with_the_rights_that_they_have(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=2, node=kind, store=StoreKind.REDIS_HA)) as cluster:
        visitor = Visitor(cluster)
        visitor.log_in()
        before = cluster.store.primary()
        cluster.store.failover()
        assert cluster.store.primary() != before
        me = f"{cluster.url}/me"
        until(lambda: visitor.browser.get(me, timeout=20).status_code == 200, "the next primary is found", timeout=40)
        assert {visitor.user() for _ in range(4)} == {"alice"}
        assert visitor.ask("POST", "/visits", {}).json() == {"visits": 1}
        logs = "".join(Path(member.log).read_text() for member in cluster.members())
        assert "NOPERM" not in logs
        assert "permission" not in logs


@pytest.mark.parametrize("kind", PEERS)
def test_virtual_users_lose_nothing_on_a_shared_store(kind: NodeKind) -> None:
    spec = shared(kind)
    with Generator() as generator, local_cluster(spec) as cluster:
        start = Start(
            url=cluster.url,
            accounts=dict(cluster.users),
            users=10,
            spawn_rate=20,
            phase="load",
            wait=(0.05, 0.2),
            time_limit=60,
            cookie=spec.session_cookie,
        )
        generator.start(start)
        while generator.progress is None or generator.progress.figures.requests < 200:
            generator.check()
        (figures,) = generator.stop()
    assert figures.users == 10
    assert (figures.wrong, figures.failed) == (0, 0), figures
    assert set(figures.nodes) == {"node-1", "node-2"}


@pytest.mark.parametrize("kind", PEERS)
def test_over_tls_the_cookie_is_for_tls_only(kind: NodeKind) -> None:
    with local_cluster(ClusterSpec(nodes=1, node=kind, store=StoreKind.REDIS, tls=True)) as cluster:
        visitor = Visitor(cluster)
        visitor.log_in()
        seen = {cookie.name: cookie.secure for cookie in visitor.browser.cookies}
        assert seen == {cluster.spec.session_cookie: True}
        assert visitor.user() == "alice"


def test_an_application_that_cannot_run_here_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerError, match=r"^no Express application here: there is no `node` in PATH; install Node.js"):
        local_cluster(shared(NodeKind.EXPRESS))
    monkeypatch.setattr("loadtest.targets.reference.find_spec", lambda _: None)
    with pytest.raises(PeerError, match=r"^Flask-Session is not installed: pip install 'session-cluster\[bench\]'$"):
        local_cluster(shared(NodeKind.FLASK_SESSION))


def test_a_cluster_is_not_started_with_another_application_than_its_spec_says() -> None:
    flask_session = application_of(NodeKind.FLASK_SESSION)
    with pytest.raises(ClusterError, match="the application must be flask, as in the spec, not flask-session"):
        LocalCluster(ClusterSpec(), application=flask_session)
    with pytest.raises(ClusterError, match="the application must be express, as in the spec, not flask"):
        LocalCluster(shared(NodeKind.EXPRESS))


@pytest.mark.node
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"SESSION_STORE": "redis"}, "the nodes share their sessions with SESSION_STORE=express alone"),
        ({"SESSIONS": "own", "SESSION_STORE": "file"}, "SESSION_STORE=file: use one of memory, redis"),
        ({"SESSIONS": "own"}, "SESSION_STORE=: use one of memory, redis"),
        ({"SESSIONS": "both"}, "SESSIONS=both: use one of own, shared"),
    ],
)
def test_express_refuses_a_store_that_it_cannot_have_or_share(
    settings: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "users.json").write_text("{}")
    environment = {"SESSION_SECRETS": "s" * 32, "CLUSTER_USERS_FILE": str(tmp_path / "users.json"), **settings}
    command = ["node", str(install_express() / "app.js")]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert complaint in done.stderr


@pytest.mark.node
def test_two_states_of_the_express_application_lie_side_by_side(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = install_express()
    changed = tmp_path / "express"
    shutil.copytree(install.SOURCE, changed)
    (changed / "app.js").write_text("// another state\n")
    monkeypatch.setattr(install, "SOURCE", changed)
    second = install_express()
    try:
        assert second.parent == first.parent
        assert (second / "app.js").read_text() == "// another state\n"
        assert "express-session" in (first / "app.js").read_text()
        assert sorted(script.name for script in second.iterdir()) == sorted(script.name for script in first.iterdir())
    finally:
        shutil.rmtree(second)
