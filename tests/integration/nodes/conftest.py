"""A node's application with two users and a memory store, and real nodes and stores for what needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts import create_users
from tests.support.node import PASSWORD, SECRET, RunningNode
from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    create_users(path, ["alice", "bob"], PASSWORD)
    return path


@pytest.fixture
def settings(users_file: Path) -> Settings:
    return Settings(node_name="node-2", secrets=(SECRET,), users_file=users_file)


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def run_node(users_file: Path, tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Starts a node with these environment variables; it ends with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            RunningNode(users_file, tmp_path / f"node-{len(list(tmp_path.iterdir()))}.log", **settings)
        )


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A server that keeps its data when it is killed and started again."""
    server = Valkey("--appendonly", "yes")
    yield server
    server.close()
