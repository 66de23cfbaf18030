"""The contract of every cluster, on Docker Swarm. Here `move` is real, and there are machines and releases."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy import Cluster, ClusterError, MemberState, SwarmCluster
from deploy.swarm.machines import Machines
from tests.cluster.deploy.conftest import find_member
from tests.cluster.deploy.test_contract import *  # noqa: F403
from tests.cluster.deploy.test_contract import NODES, SPEC
from tests.support.traffic import served_by
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


# Machines that share two cores answer each other late.
BUDGETS = {"STORE_READ_TIMEOUT": "0.8", "STORE_CONNECT_TIMEOUT": "0.5"}


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def started(machines: Machines) -> Iterator[Cluster]:
    spec = replace(SPEC, start_timeout=180, node_settings={**SPEC.node_settings, **BUDGETS})
    with SwarmCluster(spec, machines, one_proxy=True) as cluster:
        yield cluster


def machine_of(cluster: Cluster, name: str) -> str:
    assert isinstance(cluster, SwarmCluster)
    task = cluster.tasks()[name]
    return task.machine if task is not None and task.serves else ""


def test_machines_and_releases_are_refused_in_one_line_or_work(cluster: Cluster) -> None:  # type: ignore[no-redef]
    before = {name: find_member(cluster, name).address for name in NODES}
    old = machine_of(cluster, "node-2")
    cluster.move("node-2")
    assert machine_of(cluster, "node-2") not in {old, ""}
    assert find_member(cluster, "node-2").address != before["node-2"]
    cluster.restart("node-2")
    assert served_by(cluster.url, 24) == set(NODES)
    # The proxy and the store are on the first machine.
    cluster.machines.drain("machine-3")
    wait_until(lambda: {machine_of(cluster, name) for name in NODES} <= {"machine-1", "machine-2"}, "it is empty", 120)
    cluster.machines.restore()
    pids = {find_member(cluster, name).pid for name in NODES}
    cluster.roll_out()
    assert not pids & {find_member(cluster, name).pid for name in NODES}
    pids = {find_member(cluster, name).pid for name in NODES}
    with pytest.raises(ClusterError, match=r"^the update of node was rolled back: "):
        cluster.roll_out(broken=True)
    assert {find_member(cluster, name).state for name in NODES} == {MemberState.RUNNING}
    assert len(pids & {find_member(cluster, name).pid for name in NODES}) >= len(NODES) - 1
    for name in NODES:  # the proxy has a list, which is told only here
        cluster.restart(name)
    assert served_by(cluster.url, 24) == set(NODES)
