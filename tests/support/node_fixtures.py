"""Fixtures of a node's application in this process, with two users and the memory store."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts import create_users
from tests.support.node import PASSWORD, SECRET


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
