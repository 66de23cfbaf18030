"""A node's application in this process."""

from tests.support.node_fixtures import app, client, settings, users_file  # noqa: F401 - fixtures
