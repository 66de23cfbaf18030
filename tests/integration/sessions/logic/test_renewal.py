"""On Redis: renewal and its races."""

from tests.unit.sessions.test_renewal import *  # noqa: F403
