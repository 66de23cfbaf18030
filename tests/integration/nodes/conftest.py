"""A node's application in this process, a node in a process of its own, a Valkey."""

from tests.support.node import run_node, valkey  # noqa: F401 - fixtures
from tests.support.node_app import app, client, settings, users_file  # noqa: F401 - fixtures
