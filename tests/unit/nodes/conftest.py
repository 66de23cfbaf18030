"""A node's application in this process, whose passwords are hashed quickly: test_accounts.py is about real hashes."""

from pathlib import Path

import pytest

from nodes.accounts import create_users
from tests.support.cuts import quick  # noqa: F401 - a fixture
from tests.support.node import PASSWORD
from tests.support.node_app import app, client, hash_quickly, own_users_file, settings  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_quickly(monkeypatch)


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    with pytest.MonkeyPatch.context() as monkeypatch:
        hash_quickly(monkeypatch)
        create_users(path, ["alice", "bob"], PASSWORD)
    return path
