"""Several machines on this one: one of them is lost, and nothing of them is left, also after a SIGKILL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy import ClusterError, ClusterSpec, Discovery, MemberState, Role, StoreKind, SwarmCluster
from deploy.ports import free_ports
from deploy.spec import ONE_ADDRESS
from deploy.swarm import beside
from deploy.swarm.namespaces import why_no_machines
from tests.support.http_client import HttpClient, node_of
from tests.support.lacks import lacks
from tests.support.node import ROOT
from tests.support.traffic import served_by
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

SPEC = ClusterSpec(store=StoreKind.REDIS, discovery=Discovery.DNS, node_settings=ONE_ADDRESS, start_timeout=150)
START = """
import time
from deploy.swarm.machines import Machines
with Machines([], count=1) as machines:
    print(machines.folder, machines.manager().docker("node", "ls", "--format", "{{.Hostname}}"), flush=True)
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SwarmCluster]:
    """A cluster with machines of its own, which end at once."""
    if reason := why_no_machines():
        lacks(reason)
    with SwarmCluster(SPEC) as cluster:
        yield cluster


def machine_of(cluster: SwarmCluster, name: str) -> str:
    return next(task.machine for member, task in cluster.tasks().items() if member == name and task is not None)


def test_the_load_balancers_workers_do_not_block_on_the_socket_that_they_inherit() -> None:
    if reason := why_no_machines():
        lacks(reason)
    command = (sys.executable, "-S", "-E", beside.__file__, str(free_ports(1)[0]), "/proc/self/ns/net")
    inherited = "import os; print(os.get_blocking(3))"
    assert subprocess.check_output([*command, sys.executable, "-c", inherited], text=True) == "False\n"


def test_a_machine_is_lost_and_its_users_go_on_and_it_comes_back(cluster: SwarmCluster) -> None:
    """The shop of three machines, of which one can be unplugged: nobody is logged out."""
    names = [one.name for one in cluster.members()]
    assert names == ["proxy-1", "proxy-2", "proxy-3", "node-1", "node-2", "node-3", "store"]
    nodes = {one.name: machine_of(cluster, one.name) for one in cluster.members() if one.role is Role.NODE}
    assert set(nodes.values()) == {"machine-1", "machine-2", "machine-3"}, "one in each zone"
    browser = HttpClient(cluster.url)
    browser.log_in(cluster.users)
    wait_until(lambda: served_by(cluster.url, 12) == set(nodes), "every proxy has asked for the nodes' addresses", 30)
    cluster.machines.cut_off("machine-3")
    lost = next(name for name, machine in nodes.items() if machine == "machine-3")
    assert {one.state for one in cluster.members() if one.name in {lost, "proxy-3"}} == {MemberState.SILENT}
    assert {browser.get("/me").json()["user"] for _ in range(12)} == {"alice"}
    wait_until(lambda: machine_of(cluster, lost) != "machine-3", "Swarm starts it elsewhere", 90)
    wait_until(lambda: served_by(cluster.url, 12) == set(nodes), "it serves", 60)
    assert browser.get("/me").json()["user"] == "alice"
    cluster.machines.restore()
    wait_until(lambda: {one.state for one in cluster.members()} == {MemberState.RUNNING}, "the proxy is back", 90)
    assert browser.get("/me").json()["user"] == "alice"


@pytest.mark.nightly
def test_without_a_quorum_all_members_serve_and_the_swarm_cannot_be_changed(cluster: SwarmCluster) -> None:
    nodes = {one.name for one in cluster.members() if one.role is Role.NODE}
    wait_until(lambda: served_by(cluster.url, 12) == nodes, "every proxy has asked for the nodes' addresses", 30)
    browser = HttpClient(cluster.url)
    browser.log_in(cluster.users)
    for name in ("machine-2", "machine-3"):
        cluster.machines.isolate_manager(name)
    wait_until(lambda: not cluster.machines.has_quorum(), "the leader has noticed", 60)
    assert {one.state for one in cluster.members()} == {MemberState.RUNNING}
    answers = [browser.get("/me") for _ in range(24)]
    assert {each.json()["user"] for each in answers} == {"alice"}
    assert set(map(node_of, answers)) == nodes, "on each machine, over the network of their containers"
    cluster.machines.restore()
    assert cluster.machines.has_quorum()
    assert {one.state for one in cluster.members()} == {MemberState.RUNNING}
    assert browser.get("/me").json()["user"] == "alice"


def test_nothing_of_the_machines_is_left_when_their_process_is_killed() -> None:
    if reason := why_no_machines():
        lacks(reason)
    with subprocess.Popen([sys.executable, "-c", START], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder, name = process.stdout.readline().split()
        assert name == "machine-1"
        below = psutil.Process(process.pid).children(recursive=True)
        assert {"dockerd", "containerd", "sleep"} <= {one.name() for one in below}
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not any(_lives(one) for one in below), "its processes have ended", 30)
    wait_until(lambda: not Path(folder).exists(), "its folder is gone", 60)
    assert folder not in Path("/proc/mounts").read_text()


def test_what_is_not_possible_is_refused_in_one_line(cluster: SwarmCluster) -> None:
    with pytest.raises(ClusterError, match=r"^unknown machine 'machine-9': the machines are machine-1, machine-2"):
        cluster.machines.engine("machine-9")
    with pytest.raises(ClusterError, match=r"^clusters on Swarm have their sessions in redis, not in file"):
        SwarmCluster(ClusterSpec(store=StoreKind.FILE), cluster.machines).start()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
