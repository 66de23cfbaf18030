"""On each store of this tier: renewals and logouts of which a request or an answer is lost, and late requests."""

import pytest

from tests.unit.sessions.test_late_requests import *  # noqa: F403
from tests.unit.sessions.test_lost_answers import *  # noqa: F403


@pytest.fixture(params=["file", "redis", "sqlite", "express"])
def store_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
