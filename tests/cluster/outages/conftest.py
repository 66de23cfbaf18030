"""Nodes and a Valkey for the rows of docs/outages.md."""

from tests.integration.outages.conftest import start, valkey  # noqa: F401 - fixtures
from tests.support.node import run_node  # noqa: F401 - a fixture
