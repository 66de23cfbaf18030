"""A node's application in this process, a node in a process of its own, a Valkey."""

from tests.support.cuts import quick  # noqa: F401 - a fixture
from tests.support.node import run_node, valkey  # noqa: F401 - fixtures
