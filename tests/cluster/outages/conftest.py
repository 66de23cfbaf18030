"""Nodes and a Valkey for the rows of docs/outages.md."""

from tests.integration.outages.conftest import run_node, start, valkey  # noqa: F401 - fixtures
