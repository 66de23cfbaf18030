"""The contract of every store, on the stores of this tier."""

from tests.integration.sessions.test_store_contract import *  # noqa: F403
