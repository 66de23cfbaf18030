"""Tests that need no server."""

import pytest


@pytest.fixture
def store_name() -> str:
    """The store that tests of this tier run on, unless a module chooses others."""
    return "memory"
