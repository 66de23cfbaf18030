"""The tests of the session's logic in tests/unit/sessions, once more on Redis."""

import pytest


@pytest.fixture
def store_name() -> str:
    return "redis"
