"""Lost requests and answers, on the stores of this tier."""

from tests.integration.sessions.test_lost_answers import *  # noqa: F403
