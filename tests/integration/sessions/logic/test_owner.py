"""On Redis: the sessions of a user."""

from tests.unit.sessions.test_owner import *  # noqa: F403
