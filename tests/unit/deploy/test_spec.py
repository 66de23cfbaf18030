"""A cluster that cannot be is refused before anything starts."""

from typing import Any

import pytest

from deploy import ClusterError, ClusterSpec, Database, LocalCluster, NodeKind, StoreKind
from deploy.spec import parse_balance


@pytest.mark.parametrize(
    ("fields", "said"),
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
def test_it_says_which_value_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        ClusterSpec(**fields)


def test_names_are_parsed_and_the_nearest_one_is_offered() -> None:
    assert StoreKind.parse("redis") is StoreKind.REDIS
    with pytest.raises(ClusterError, match="did you mean 'memory'"):
        StoreKind.parse("memroy")
    with pytest.raises(ClusterError, match="unknown database 'mariadb': choose one of sqlite, mysql, postgres"):
        Database.parse("mariadb")
    with pytest.raises(ClusterError, match="unknown kind of node 'flsk': did you mean 'flask'"):
        NodeKind.parse("flsk")
    with pytest.raises(ClusterError, match="did you mean 'least_conn'"):
        parse_balance("leastconn")


def test_local_processes_have_sqlite_alone() -> None:
    with pytest.raises(ClusterError, match="database postgres is for containers: local processes have SQLite"):
        LocalCluster(ClusterSpec(store=StoreKind.SQL, database=Database.POSTGRES))
