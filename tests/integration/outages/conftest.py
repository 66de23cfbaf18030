"""Nodes and a Valkey for the rows of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.node import RunningNode, run_node  # noqa: F401 - a fixture
from tests.support.valkey import Valkey

Start = Callable[..., RunningNode]


@pytest.fixture(scope="module")
def start(users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Yield a function that starts a node with these settings. The nodes end with the module."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            RunningNode(users_file, tmp_path_factory.mktemp("node") / "log", **settings)
        )


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A server that has every acknowledged write after a kill: the kernel has it. It does not wait for a busy disk."""
    server = Valkey("--appendonly", "yes", "--appendfsync", "no")
    yield server
    server.close()
