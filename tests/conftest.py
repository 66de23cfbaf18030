"""Fixtures of all tiers: real stores. Tests that need Docker, Chromium or Node.js.

Without it they are skipped with the reason; with REQUIRE_ALL=1 they fail.
"""

import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import cache

import flask
import pytest
from hypothesis import HealthCheck, settings

from deploy import StoreKind
from nodes.sessions import Store
from tests.support.alone import leave_machine, share_machine, take_machine
from tests.support.chromium import CHROMIUM, browser  # noqa: F401 - a fixture
from tests.support.harness import Harness
from tests.support.harnesses import make_harness
from tests.support.harnesses.file import memory_folder  # noqa: F401 - a fixture
from tests.support.harnesses.sql import mysql_harness, postgres_harness, sqlite_harness  # noqa: F401 - fixtures
from tests.support.lacks import lacks
from tests.support.node_app import users_file  # noqa: F401 - a fixture
from tests.support.redis_stores import open_store, own  # noqa: F401 - fixtures
from tests.support.several import SeveralServers
from tests.support.sql_servers import mysql, postgres  # noqa: F401 - fixtures: one server of each kind for all tests
from tests.support.valkey import Valkey

# How long an example takes says more about the machine than about the code: no deadline, no check of speed.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.register_profile("repeatable", UNTIMED, derandomize=True)  # the same examples in each run
settings.register_profile("random", UNTIMED)  # make test-nightly
settings.load_profile("repeatable")


@cache
def lack_of_docker() -> str | None:
    """Return why no containers can be started here, or None."""
    if shutil.which("docker") is None:
        return "no Docker: `docker` is not in PATH"
    for command, otherwise in (
        (["docker", "info"], "the Docker engine does not answer"),
        (["docker", "compose", "version"], "Docker has no compose plugin"),
    ):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=30)
        except (subprocess.SubprocessError, OSError):
            return otherwise
    return None


def lack_of_browser() -> str | None:
    """Return why no page can be shown in Chromium here, or None."""
    if CHROMIUM:
        return None
    return "no Chromium: install the package `chromium`, or name the binary in CHROMIUM"


def lack_of_node() -> str | None:
    """Return why no Express application can run here, or None."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"no Node.js: `{missing[0]}` is not in PATH" if missing else None


NEEDS: dict[str, Callable[[], str | None]] = {
    "docker": lack_of_docker,
    "browser": lack_of_browser,
    "node": lack_of_node,
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, lack in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := lack()):
            lacks(reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the test's time begins
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Where several processes share the tests, one that is marked `alone` waits for the others' and they for it."""
    if item.get_closest_marker("alone"):
        take_machine()
    else:
        share_machine()
    try:
        return (yield)
    finally:
        leave_machine()


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    with closing(Valkey()) as valkey:
        yield valkey


@pytest.fixture(scope="session")
def sentinels() -> Iterator[SeveralServers]:
    with closing(SeveralServers(StoreKind.REDIS_HA, min_replicas_to_write=0)) as servers:
        yield servers


@pytest.fixture(scope="session")
def sharded() -> Iterator[SeveralServers]:
    with closing(SeveralServers(StoreKind.REDIS_CLUSTER)) as servers:
        yield servers


@pytest.fixture
def harness(request: pytest.FixtureRequest, store_name: str) -> Harness:
    """Return the harness of each store of the tier, empty."""
    return make_harness(store_name, request)


@pytest.fixture
def store(harness: Harness) -> Store:
    return harness.store


@pytest.fixture(autouse=True)
def no_request_stays_open() -> Iterator[None]:
    """No test leaves a request behind: the next one of its process would be inside of it."""
    yield
    assert not flask.has_request_context(), "this test left a request open"
