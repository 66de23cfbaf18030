"""On Redis: sessions as applications use them."""

from tests.unit.sessions.test_session import *  # noqa: F403
