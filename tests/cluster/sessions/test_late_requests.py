"""Late requests, on the stores of this tier."""

from tests.integration.sessions.test_late_requests import *  # noqa: F403
