"""Nodes in processes of their own, and a Valkey."""

from tests.support.node import run_node, valkey  # noqa: F401 - fixtures
