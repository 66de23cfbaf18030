"""A database server is a member of a cluster of containers, as Redis is: it can be killed and restarted."""

import pytest

from deploy import ClusterSpec, ComposeCluster, Database, MemberState, Role, StoreKind
from tests.support.traffic import Browser
from tests.support.waiting import until


@pytest.mark.docker
def test_a_database_is_killed_and_nobody_is_logged_out() -> None:
    spec = ClusterSpec(nodes=2, store=StoreKind.SQL, database=Database.POSTGRES, start_timeout=110)
    with ComposeCluster(spec) as cluster:
        store = cluster.members()[-1]
        assert (store.name, store.role, store.state) == ("store", Role.STORE, MemberState.RUNNING)
        assert store.address.endswith(":5432")
        browser = Browser(cluster.url)
        assert browser.post("/login", {"user": "alice", "password": cluster.users["alice"]}).status == 200
        cluster.kill("store")
        assert cluster.members()[-1].state is MemberState.ENDED
        assert browser.get("/me").status == 503
        cluster.restart("store")
        until(lambda: browser.get("/me").status == 200, "the nodes have found it again")
        assert {browser.get("/me").json["user"] for _ in range(4)} == {"alice"}
