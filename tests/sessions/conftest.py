"""Real stores for every test that takes a `harness`, `store` or `server`."""

import importlib
from collections.abc import Iterator

import pytest

from deploy import StoreKind
from nodes.sessions import Store
from tests.sessions.harness import Harness
from tests.sessions.harnesses.express_sql import express_sql_harness  # noqa: F401 - fixture
from tests.sessions.harnesses.sql import mysql_harness, postgres_harness, sqlite_harness  # noqa: F401 - fixtures
from tests.sessions.several import SeveralServers
from tests.sessions.valkey import Valkey

STORES = (
    "memory",
    "encrypted",
    "encrypting",
    "express",
    "express_file",
    "file",
    "redis",
    "redis_cluster",
    "redis_ha",
    "redis_waiting",
    "sqlite",
    pytest.param("mysql", marks=pytest.mark.docker),
    pytest.param("express_sql", marks=pytest.mark.docker),
    pytest.param("postgres", marks=pytest.mark.docker),
)
"""Each is a module in `harnesses`; `pytest.param("name", marks=…)` for one that not every machine can run."""


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    valkey = Valkey()
    yield valkey
    valkey.close()


@pytest.fixture(scope="session")
def sentinels() -> Iterator[SeveralServers]:
    servers = SeveralServers(StoreKind.REDIS_HA, min_replicas_to_write=0)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def sharded() -> Iterator[SeveralServers]:
    servers = SeveralServers(StoreKind.REDIS_CLUSTER)
    yield servers
    servers.close()


@pytest.fixture(params=STORES)
def harness(request: pytest.FixtureRequest) -> Harness:
    """Each store in turn, empty."""
    made: Harness = importlib.import_module(f"tests.sessions.harnesses.{request.param}").make(request)
    made.clear()
    return made


@pytest.fixture
def store(harness: Harness) -> Store:
    return harness.store
