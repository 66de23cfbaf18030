"""On Redis: timeouts and lifetimes."""

from tests.unit.sessions.test_lifetime import *  # noqa: F403
