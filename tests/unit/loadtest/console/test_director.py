"""The director: commands one at a time, undo before what waits, a new cluster for another store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import Cluster, ClusterSpec, StoreKind
from loadtest.console.board import Board, Order
from loadtest.console.commands import ClusterStage
from loadtest.console.director import Director, Refused, with_store
from tests.support.fake_cluster import FakeCluster
from tests.support.waiting import wait_until


class Slow(FakeCluster):
    """A cluster whose restarts take until they are let go on."""

    def __init__(self, spec: ClusterSpec, broken: str = "") -> None:
        super().__init__(spec, broken)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def _restart(self, name: str) -> None:
        self.begun.set()
        assert self.go_on.wait(10)
        super()._restart(name)


class Running:
    """A director in a thread of its own, until the test ends it."""

    def __init__(self, folder: Path, broken: frozenset[StoreKind] = frozenset()) -> None:
        self.board = Board()
        self.clusters: list[Slow] = []
        self._broken = broken
        spec = with_store(ClusterSpec(nodes=2), StoreKind.REDIS)
        self.director = Director(spec, None, self._make, self.board, folder, keep=False)
        self.thread = threading.Thread(target=self.director.run, daemon=True)
        self.thread.start()
        self.wait_stage(ClusterStage.RUNNING)

    def _make(self, spec: ClusterSpec) -> Cluster:
        self.clusters.append(Slow(spec, "no such server" if spec.store in self._broken else ""))
        return self.clusters[-1]

    def post(self, do: str, on: str = "", to: str = "") -> int:
        return self.director.post(Order(do, on, to))

    def wait_stage(self, stage: ClusterStage) -> None:
        wait_until(lambda: self.director.look().stage is stage, f"the cluster is {stage}")

    def wait_log(self, text: str, kind: str) -> None:
        wait_until(
            lambda: any(e.text.startswith(text) and e.kind == kind for e in self.board.entries), f"{kind} {text}"
        )

    def lines(self) -> list[tuple[str, str]]:
        return [(entry.kind, entry.text) for entry in self.board.entries if entry.command]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    one = Running(tmp_path)
    yield one
    for cluster in one.clusters:
        cluster.go_on.set()


def test_a_command_is_executed_and_its_result_is_a_line_of_the_log(running: Running) -> None:
    running.post("kill", "node-2")
    running.wait_log("kill node-2", "done")
    assert running.lines() == [("started", "kill node-2"), ("done", "kill node-2")]
    assert running.director.look().has_fault


def test_commands_wait_for_each_other_and_are_checked_again_when_their_turn_comes(running: Running) -> None:
    running.post("restart", "node-1")
    assert running.clusters[0].begun.wait(10)
    running.post("kill", "node-2")
    running.post("kill", "node-2")
    assert [job.order.do for job in running.director.waiting] == ["kill", "kill"]
    running.clusters[0].go_on.set()
    running.wait_log("kill node-2: node-2 has ended", "failed")
    kinds = [kind for kind, text in running.lines() if text.startswith("kill")]
    assert kinds == ["queued", "queued", "started", "done", "failed"]


def test_undoing_drops_the_commands_that_wait(running: Running) -> None:
    running.post("kill", "node-1")
    running.wait_log("kill node-1", "done")
    running.director.look()
    running.post("restart", "node-1")
    assert running.clusters[0].begun.wait(10)
    running.post("kill", "node-2")
    running.post("undo")
    assert [job.order.do for job in running.director.waiting] == ["undo"]
    assert ("dropped", "kill node-2") in running.lines()
    running.clusters[0].go_on.set()


def test_a_command_that_is_not_possible_is_refused_at_once(running: Running) -> None:
    with pytest.raises(Refused) as refusal:
        running.post("failover")
    assert refusal.value.reason.key == "no_replica"
    assert running.lines() == []


def test_another_store_is_another_cluster_with_the_number_of_nodes_that_was(running: Running) -> None:
    running.post("nodes", to="3")
    running.wait_log("scale to 3 nodes", "done")
    running.post("store", to="memory")
    running.wait_log("new cluster with sessions in memory", "done")
    assert len(running.clusters) == 2
    assert running.clusters[0].members() == ()
    state = running.director.look()
    assert (state.spec.store, len(state.nodes), state.network) == (StoreKind.MEMORY, 3, None)


def test_a_cluster_that_does_not_start_leaves_the_choice_of_another_store(tmp_path: Path) -> None:
    running = Running(tmp_path, broken=frozenset({StoreKind.REDIS_HA}))
    running.post("store", to="redis-ha")
    running.wait_log("new cluster with sessions in redis-ha: no such server", "failed")
    running.wait_stage(ClusterStage.FAILED)
    with pytest.raises(Refused):
        running.post("kill", "node-1")
    running.post("store", to="redis")
    running.wait_stage(ClusterStage.RUNNING)


def test_the_faults_of_the_network_are_those_of_the_experiments(running: Running) -> None:
    for mode in ("slow", "silent", "cut"):
        running.post("network", to=mode)
        wait_until(lambda: running.clusters[0].network.mode == mode, mode)  # noqa: B023 - waits at once
        wait_until(lambda: running.director.look().network == mode, mode)  # noqa: B023
    running.post("undo")
    running.wait_log("undo all faults", "done")
    assert running.clusters[0].network.mode == "up"
    assert not running.director.look().has_fault
