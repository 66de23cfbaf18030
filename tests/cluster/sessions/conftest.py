"""Redis with Sentinels and a Redis Cluster, whole and empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.several import SeveralServers


@pytest.fixture
def ha(sentinels: SeveralServers) -> Iterator[SeveralServers]:
    yield from _mend(sentinels)


@pytest.fixture
def cluster(sharded: SeveralServers) -> Iterator[SeveralServers]:
    yield from _mend(sharded)


def _mend(servers: SeveralServers) -> Iterator[SeveralServers]:
    servers.mend()
    servers.client().flushdb()
    yield servers
    servers.mend()


@pytest.fixture(params=["ha", "cluster"])
def servers(request: pytest.FixtureRequest) -> SeveralServers:
    made: SeveralServers = request.getfixturevalue(request.param)
    return made
