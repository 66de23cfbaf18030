"""Nodes for the rows of docs/outages.md."""

from tests.integration.outages.conftest import start  # noqa: F401 - a fixture
