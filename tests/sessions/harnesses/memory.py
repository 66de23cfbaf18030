import pytest

from tests.sessions.harness import Harness, MemoryHarness


def make(request: pytest.FixtureRequest) -> Harness:
    return MemoryHarness()
