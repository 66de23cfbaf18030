"""Lost requests and answers, on memory: plain, encrypted, and while encryption is turned on or off."""

import pytest

from tests.integration.sessions.test_lost_answers import *  # noqa: F403


@pytest.fixture(params=["memory", "encrypted", "encrypting"])
def store_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
