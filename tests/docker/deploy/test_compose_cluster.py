"""Only in containers: addresses that change, databases, a missing engine."""

from pathlib import Path

import pytest

from deploy import ClusterError, ClusterSpec, ComposeCluster, Database, Discovery, MemberState, Role, StoreKind
from deploy.ports import free_ports, is_taken
from tests.support.http_client import HttpClient
from tests.support.traffic import served_by
from tests.support.waiting import wait_until


def test_a_database_that_is_killed_and_restarted_keeps_the_sessions() -> None:
    spec = ClusterSpec(nodes=2, store=StoreKind.SQL, database=Database.POSTGRES, start_timeout=110)
    with ComposeCluster(spec) as cluster:
        store = cluster.members()[-1]
        assert (store.name, store.role, store.state) == ("store", Role.STORE, MemberState.RUNNING)
        assert store.address.endswith(":5432")
        browser = HttpClient(cluster.url)
        browser.log_in(cluster.users)
        cluster.kill("store")
        assert cluster.members()[-1].state is MemberState.ENDED
        assert browser.get("/me").status_code == 503
        cluster.restart("store")
        wait_until(lambda: browser.get("/me").status_code == 200, "the nodes have found it again")
        assert {browser.get("/me").json()["user"] for _ in range(4)} == {"alice"}


def test_a_node_at_another_address_is_found_by_dns_and_cannot_be_drained() -> None:
    with ComposeCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS, discovery=Discovery.DNS)) as cluster:
        before = {member.name: member.address for member in cluster.members()}
        cluster.move("node-2")
        after = {member.name: member.address for member in cluster.members()}
        assert {name for name in before if before[name] != after[name]} == {"node-2"}
        wait_until(lambda: served_by(cluster.url) == {"node-1", "node-2"}, "both of them serve")
        with pytest.raises(ClusterError, match="node-1 cannot be drained: the proxy finds nodes by DNS"):
            cluster.drain("node-1")
        with pytest.raises(ClusterError, match="proxy is not a node"):
            cluster.move("proxy")


def test_an_engine_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    cluster = ComposeCluster(ClusterSpec())
    with pytest.raises(ClusterError, match=r"^the Docker engine is not running, or this user may not use it"):
        cluster.start()
    cluster.stop()


def test_a_setting_that_setup_refuses_ends_the_start_and_leaves_nothing() -> None:
    port = free_ports(1)[0]
    spec = ClusterSpec(nodes=1, port=port, node_settings={"SESSION_NAME": "not a name"})
    with pytest.raises(ClusterError, match=r"session_cookie .*'not a name'"):
        ComposeCluster(spec).start()
    assert not is_taken(port)
