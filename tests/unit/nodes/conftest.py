"""A node's application in this process."""

from tests.support.cuts import quick  # noqa: F401 - a fixture
from tests.support.node_app import app, client, own_users_file, settings  # noqa: F401 - fixtures
