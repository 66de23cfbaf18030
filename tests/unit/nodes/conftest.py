"""A node's application in this process."""

from tests.support.node_app import app, client, own_users_file, settings  # noqa: F401 - fixtures
