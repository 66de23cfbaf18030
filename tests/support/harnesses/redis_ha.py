import pytest

from tests.support.harness import Harness, RedisHarness


def make(request: pytest.FixtureRequest) -> Harness:
    servers = request.getfixturevalue("sentinels")
    servers.mend()
    return RedisHarness(servers)
