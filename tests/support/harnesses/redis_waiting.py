import pytest

from nodes.sessions import Outage, OutagePolicy
from tests.support.harness import Harness, RedisHarness


def make(request: pytest.FixtureRequest) -> Harness:
    return RedisHarness(request.getfixturevalue("server"), OutagePolicy(Outage.WAIT))
