"""A node's application in this process."""

from tests.support.node_app import app, client, settings  # noqa: F401 - fixtures
