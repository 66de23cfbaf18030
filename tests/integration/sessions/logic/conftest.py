"""The session's logic, which runs on memory in tests/unit/sessions, once more on Redis."""

import pytest


@pytest.fixture
def store_name() -> str:
    return "redis"
