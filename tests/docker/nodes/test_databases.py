"""A node on each database server knows the sessions of another one."""

from __future__ import annotations

import pytest

from tests.integration.nodes.test_every_store import test_what_one_node_did_the_other_knows
from tests.support.node import PATIENT, run_node
from tests.support.node_app import users_file
from tests.support.sql_servers import SqlServer

pytestmark = pytest.mark.docker
__all__ = ["run_node", "test_what_one_node_did_the_other_knows", "users_file"]


@pytest.fixture(params=["mysql", "mariadb", "postgresql"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    server: SqlServer = request.getfixturevalue("postgres" if request.param == "postgresql" else "mysql")
    _, _, rest = server.database("nodes").partition("://")
    url = f"{request.param}://{rest}"
    return {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on", **PATIENT}
