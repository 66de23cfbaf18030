"""Fixtures: real backends, and a real nginx in front of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy import UpstreamServer
from tests.support.backend import Backend
from tests.support.proxy import RunningProxy

StartProxy = Callable[..., RunningProxy]
Nodes = tuple[Backend, ...]
Servers = tuple[UpstreamServer, ...]


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Three nodes, node-1 to node-3."""
    backends = tuple(Backend(f"node-{number}") for number in (1, 2, 3))
    yield backends
    for backend in backends:
        backend.die()


@pytest.fixture
def servers(nodes: Nodes) -> Servers:
    """The nodes as servers of the proxy."""
    return tuple(UpstreamServer(node.address, node.name) for node in nodes)


@pytest.fixture
def start_proxy(tmp_path: Path, servers: Servers) -> Iterator[StartProxy]:
    """`start_proxy(balance=..., ...)` puts nginx in front of the nodes; it ends with the test."""
    with ExitStack() as stack:

        def start(servers: Servers = servers, **overrides: object) -> RunningProxy:
            return stack.enter_context(RunningProxy(tmp_path, servers, overrides))

        yield start
