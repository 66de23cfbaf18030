import pytest

from tests.sessions.harness import Harness
from tests.sessions.harnesses.sql import SqlHarness


def make(request: pytest.FixtureRequest) -> Harness:
    harness: SqlHarness = request.getfixturevalue("postgres_harness")
    return harness
