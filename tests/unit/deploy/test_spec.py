"""A cluster that cannot run is refused before any server starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import (
    ClusterError,
    ClusterSpec,
    ComposeCluster,
    Database,
    Discovery,
    LocalCluster,
    NodeKind,
    StoreKind,
    StoreSettings,
)
from deploy.spec import parse_balance
from nodes.sessions import Durability, Lifetime
from proxy import Balance


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nodes": 0}, "nodes must be between 1 and 100, not 0"),
        ({"nodes": 101}, "nodes must be between 1 and 100, not 101"),
        ({"workers": 33}, "workers must be between 1 and 32, not 33"),
        ({"database": Database.MYSQL}, "database mysql is for store sql, not for memory"),
        ({"node": NodeKind.EXPRESS, "workers": 2}, "workers must be 1 for express nodes"),
        (
            {"node": NodeKind.EXPRESS, "store": StoreKind.SQL},
            "express nodes cannot keep sessions in sql: choose one of memory, redis, redis-ha",
        ),
        ({"node": NodeKind.FLASK_SESSION, "store": StoreKind.EXPRESS}, "flask-session nodes cannot keep sessions in"),
        ({"port": -1}, "port must be between 0"),
        ({"users": ()}, "users must not be empty"),
        ({"users": ("Alice",)}, "user must be a lower-case letter.* not 'Alice'"),
        ({"users": ("a,b",)}, "not 'a,b'"),
        ({"node_settings": {"session idle": "1"}}, "must be a variable in capitals, not 'session idle'"),
        ({"proxy": {"reed_timeout": 1}}, "'reed_timeout' is not a setting of the proxy"),
        ({"start_timeout": 0}, "start_timeout must be above 0 s"),
        ({"drain_timeout": float("nan")}, "drain_timeout must be above 0 s.* not nan s"),
    ],
)
def test_a_value_out_of_range_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        ClusterSpec(**fields)


def test_the_settings_of_the_nodes_name_the_timeouts_of_a_session() -> None:
    assert ClusterSpec().session_lifetime == Lifetime(1800, 28800)
    settings = {"SESSION_IDLE_TIMEOUT": "5", "SESSION_ABSOLUTE_TIMEOUT": "7.5"}
    assert ClusterSpec(node_settings=settings).session_lifetime == Lifetime(5, 7.5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("min_replicas_to_write", 3, "min_replicas_to_write must be between 0 and 2, not 3"),
        ("down_after", 0.1, "down_after must be between 0.2"),
    ],
)
def test_a_store_setting_out_of_range_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        StoreSettings(**{field: value})


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    assert StoreKind.parse("redis") is StoreKind.REDIS
    with pytest.raises(ClusterError, match="did you mean 'memory'"):
        StoreKind.parse("memroy")
    with pytest.raises(ClusterError, match="unknown database 'mariadb': choose one of sqlite, mysql, postgres"):
        Database.parse("mariadb")
    with pytest.raises(ClusterError, match="unknown kind of node 'flsk': did you mean 'flask'"):
        NodeKind.parse("flsk")
    with pytest.raises(ClusterError, match="did you mean 'least_conn'"):
        parse_balance("leastconn")


def test_writes_need_a_replica_only_where_a_primary_has_two() -> None:
    assert (StoreSettings().required_replicas(2), StoreSettings().required_replicas(1)) == (1, 0)
    assert StoreSettings(min_replicas_to_write=0).required_replicas(2) == 0
    assert StoreSettings(durability=Durability.EVERY_WRITE).node_environment(True) == {
        "STORE_OUTAGE": "fail_fast",
        "STORE_DURABILITY": "every_write",
        "STORE_REPLICAS": "1",
    }


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (lambda: ClusterSpec(store_proxy=True), "store memory has no single server that a proxy could stand before"),
        (lambda: LocalCluster(ClusterSpec(discovery=Discovery.DNS)), "discovery by dns is for containers"),
        (
            lambda: LocalCluster(ClusterSpec(store=StoreKind.SQL, database=Database.POSTGRES)),
            "database postgres is for containers: local processes have SQLite",
        ),
        (lambda: ClusterSpec(store=StoreKind.FILE, store_disk="16 MB"), "store_disk must be a size in k or m"),
        (lambda: ClusterSpec(store=StoreKind.REDIS, store_disk="16m"), "store_disk is for sessions in file and sql"),
        (lambda: LocalCluster(ClusterSpec(store=StoreKind.SQL, store_disk="16m")), "store_disk is for containers"),
        (lambda: ClusterSpec(revision="main"), "revision must be 7 to 40 hexadecimal digits of a commit, not 'main'"),
        (lambda: ClusterSpec(revision="01db56e", application="shop:app"), "revision is for flask nodes, not for shop"),
        (lambda: ComposeCluster(ClusterSpec(revision="01db56e")).start(), "revision is for local processes"),
        (lambda: ComposeCluster(ClusterSpec(tls=True)).start(), "TLS is for"),
        (lambda: ComposeCluster(ClusterSpec(node=NodeKind.EXPRESS)).start(), "nodes in containers are flask"),
    ],
)
def test_what_a_kind_of_cluster_cannot_do_is_refused_before_it_starts(
    start: Callable[[], object], message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        start()


def test_a_missing_docker_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"^docker is not installed: install Docker, or use local processes$"):
        ComposeCluster(ClusterSpec()).start()


def test_a_cluster_that_does_not_run_has_no_store() -> None:
    for cluster in (LocalCluster(ClusterSpec()), ComposeCluster(ClusterSpec())):
        with pytest.raises(ClusterError, match="start it first"):
            _ = cluster.store


def test_the_cookie_of_an_application_is_the_one_that_this_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_NAME", "shopsid")
    shop, guest = ClusterSpec(), ClusterSpec(application="shop:app")
    own = ClusterSpec(application="shop:app", node_settings={"SESSION_NAME": "own"})
    assert [each.session_cookie for each in (shop, guest, own)] == ["session", "shopsid", "own"]
    monkeypatch.delenv("SESSION_NAME")
    assert guest.session_cookie == "session"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"balance": Balance.HASH}, "a login renews"),
        ({"balance": Balance.ROUND_ROBIN}, "round_robin changes the node"),
        ({"balance": Balance.LEAST_CONN}, "least_conn changes the node"),
        ({"balance": Balance.RANDOM_TWO, "node": NodeKind.EXPRESS}, "random_two changes the node"),
        ({"balance": Balance.STICKY, "workers": 2}, "no policy chooses a worker"),
        ({"balance": Balance.IP_HASH, "workers": 2, "nodes": 1}, "no policy chooses a worker"),
        ({"balance": Balance.STICKY}, None),
        ({"balance": Balance.IP_HASH, "application": "shop:app"}, None),
        ({"balance": Balance.HASH, "nodes": 1}, None),
        ({"balance": Balance.HASH, "store": StoreKind.REDIS, "workers": 2}, None),
    ],
)
def test_sessions_that_a_policy_would_lose_are_a_warning(given: dict[str, Any], reason: str | None) -> None:
    warning = ClusterSpec(**given).affinity_warning
    assert (warning is None) is (reason is None)
    assert reason is None or reason in str(warning)
