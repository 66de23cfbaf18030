"""The contract of every cluster, on containers."""

from collections.abc import Iterator

import pytest

from deploy import Cluster, ComposeCluster
from tests.cluster.deploy.test_contract import *  # noqa: F403
from tests.cluster.deploy.test_contract import SPEC


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def started() -> Iterator[Cluster]:
    with ComposeCluster(SPEC) as cluster:
        yield cluster
