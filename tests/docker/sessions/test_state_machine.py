"""Random histories of several browsers, on the stores of this tier."""

from tests.integration.sessions.test_state_machine import test_every_history_agrees_with_the_model

__all__ = ["test_every_history_agrees_with_the_model"]
