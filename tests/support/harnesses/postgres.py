import pytest

from tests.support.harness import Harness
from tests.support.harnesses.sql import SqlHarness


def make(request: pytest.FixtureRequest) -> Harness:
    harness: SqlHarness = request.getfixturevalue("postgres_harness")
    return harness
