"""Two real nodes on each database know the same sessions."""

from __future__ import annotations

import pytest

from tests.cluster.nodes.test_every_store import test_two_nodes_on_one_store_share_their_sessions
from tests.support.node import PATIENT, run_node
from tests.support.sql_servers import SqlServer

__all__ = ["run_node", "test_two_nodes_on_one_store_share_their_sessions"]


@pytest.fixture(params=["mysql", "mariadb", "postgresql"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    server: SqlServer = request.getfixturevalue("postgres" if request.param == "postgresql" else "mysql")
    _, _, rest = server.database("nodes").partition("://")
    url = f"{request.param}://{rest}"
    return {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on", **PATIENT}
