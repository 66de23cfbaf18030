"""The console in a container: the settings that it takes from compose.yaml, and its token."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import StoreKind
from deploy.spec import Database, SpecError
from loadtest.cli.watch import keep_token, read_spec
from proxy import Balance

COMPOSE = (Path(__file__).parents[3] / "compose.yaml").read_text()


@pytest.mark.parametrize(
    ("variables", "store", "database"),
    [
        ({}, StoreKind.REDIS, Database.SQLITE),
        ({"SESSION_STORE": "redis", "REDIS_MODE": "sentinel"}, StoreKind.REDIS_HA, Database.SQLITE),
        ({"SESSION_STORE": "redis", "REDIS_MODE": "cluster"}, StoreKind.REDIS_CLUSTER, Database.SQLITE),
        ({"SESSION_STORE": "sql", "DATABASE": "mysql"}, StoreKind.SQL, Database.MYSQL),
        ({"SESSION_STORE": "memory", "DATABASE": "sqlite"}, StoreKind.MEMORY, Database.SQLITE),
    ],
)
def test_the_cluster_is_that_of_the_variables(variables: dict[str, str], store: StoreKind, database: Database) -> None:
    spec = read_spec(
        variables | {"BALANCE": "sticky", "SESSION_NAME": "id", "SESSION_IDLE_TIMEOUT": "60", "NODE_APP": ""}
    )
    assert (spec.store, spec.database, spec.balance) == (store, database, Balance.STICKY)
    assert (spec.session_cookie, spec.session_lifetime.idle, spec.application) == ("id", 60.0, "")


def test_a_wrong_store_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'redis'"):
        read_spec({"SESSION_STORE": "reddis"})


def test_the_token_stays_when_the_console_is_restarted(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = keep_token(path)
    assert len(token) >= 32
    assert (keep_token(path), path.stat().st_mode & 0o777) == (token, 0o600)


def test_no_service_gets_the_socket_of_the_engine() -> None:
    assert ".sock" not in COMPOSE.replace("mysqld.sock", "").replace("/tmp/mysqld", "")
    assert "privileged" not in COMPOSE.replace("no-new-privileges", "")
