"""The contract of every cluster, on Docker Swarm."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy import Cluster
from deploy.swarm.cluster import SwarmCluster
from deploy.swarm.machines import Machines
from tests.cluster.deploy.test_contract import *  # noqa: F403
from tests.cluster.deploy.test_contract import SPEC

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def started(machines: Machines) -> Iterator[Cluster]:
    with SwarmCluster(replace(SPEC, start_timeout=180), machines, one_proxy=True) as cluster:
        yield cluster
