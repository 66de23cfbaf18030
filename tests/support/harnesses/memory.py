import pytest

from tests.support.harness import Harness, MemoryHarness


def make(request: pytest.FixtureRequest) -> Harness:
    return MemoryHarness()
