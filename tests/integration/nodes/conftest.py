"""A node's application in this process, a node in a process of its own, a Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.node import RunningNode
from tests.support.node_app import app, client, settings, users_file  # noqa: F401 - fixtures
from tests.support.valkey import Valkey


@pytest.fixture
def run_node(users_file: Path, tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:  # noqa: F811
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
