"""The harnesses of all stores by the names that tests use."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from nodes.sessions import EncryptedStore, Outage, OutagePolicy
from nodes.sessions.codec import OVERHEAD
from tests.support.harness import Harness
from tests.support.harnesses.encrypted import KEYS, EncryptedHarness, TurnAndTurn
from tests.support.harnesses.express import ExpressHarness
from tests.support.harnesses.file import FileHarness
from tests.support.harnesses.memory import MemoryHarness
from tests.support.harnesses.redis import RedisHarness


def _redis(request: pytest.FixtureRequest, servers: str, outage: OutagePolicy | None = None) -> Harness:
    made = request.getfixturevalue(servers)
    if servers != "server":
        made.mend()
    return RedisHarness(made, outage)


def _sql(request: pytest.FixtureRequest, name: str) -> Harness:
    harness: Harness = request.getfixturevalue(f"{name}_harness")
    return harness


_MAKERS: dict[str, Callable[[pytest.FixtureRequest], Harness]] = {
    "memory": lambda _: MemoryHarness(),
    "encrypted": lambda _: EncryptedHarness(lambda store: EncryptedStore(store, KEYS), OVERHEAD),
    "encrypting": lambda _: EncryptedHarness(TurnAndTurn, overhead=None),
    "file": lambda request: FileHarness(request.getfixturevalue("memory_folder") / "sessions"),
    "redis": partial(_redis, servers="server"),
    "redis_waiting": partial(_redis, servers="server", outage=OutagePolicy(Outage.WAIT)),
    "redis_ha": partial(_redis, servers="sentinels"),
    "redis_cluster": partial(_redis, servers="sharded"),
    "express": lambda request: ExpressHarness(request.getfixturevalue("server")),
    **{name: partial(_sql, name=name) for name in ("sqlite", "mysql", "postgres")},
}


def store_names(*names: str) -> Any:
    """Return the fixture `store_name` of a tier or a module: the stores that its tests run on."""

    @pytest.fixture(params=names)
    def store_name(request: pytest.FixtureRequest) -> str:
        name: str = request.param
        return name

    return store_name


def make_harness(name: str, request: pytest.FixtureRequest) -> Harness:
    """Return the harness of a store, emptied."""
    harness = _MAKERS[name](request)
    harness.clear()
    return harness
