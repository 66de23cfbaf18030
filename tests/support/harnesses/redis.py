import pytest

from tests.support.harness import Harness, RedisHarness


def make(request: pytest.FixtureRequest) -> Harness:
    return RedisHarness(request.getfixturevalue("server"))
