"""On Redis: the sessions of a user."""

from tests.unit.sessions.test_users import *  # noqa: F403
