"""The experiments of the console: they run beside its cluster, are watched and stopped, and their results stay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from deploy import ClusterSpec, StoreKind
from loadtest.claims.claim import Verdict
from loadtest.console.archive import Archive
from loadtest.console.board import Board, Order
from loadtest.console.commands import ClusterStage
from loadtest.console.director import Director, Refused, with_store
from loadtest.console.experiments import Experiments, LiveRun, RunStage
from loadtest.console.server import Console, create_app
from loadtest.experiment import Place
from loadtest.progress import Status
from loadtest.results import Result, read_results
from loadtest.suite import Suite
from tests.support.console import FakeLoad
from tests.support.fake_cluster import FakeCluster
from tests.support.report_results import Run
from tests.support.scripted_suite import STEPS, Script, scripted_suite  # noqa: F401 - a fixture
from tests.support.waiting import wait_until


class Running:
    """A director in a thread of its own, with a load and an archive."""

    def __init__(self, folder: Path) -> None:
        self.board = Board()
        self.clusters: list[FakeCluster] = []
        self.experiments = Experiments({Place.LOCAL: self._make}, Archive(folder / "out"))
        spec = with_store(ClusterSpec(nodes=2), StoreKind.REDIS)
        self.director = Director(spec, None, self._make, self.board, folder, experiments=self.experiments)
        threading.Thread(target=self.director.run, daemon=True).start()
        wait_until(lambda: self.director.look().stage is ClusterStage.RUNNING, "the cluster runs")
        self.load = FakeLoad(20)
        self.director.load = self.load  # type: ignore[assignment]

    def _make(self, spec: ClusterSpec) -> FakeCluster:
        self.clusters.append(FakeCluster(spec))
        return self.clusters[-1]

    def post(self, do: str, to: str = "", on: str = "") -> int:
        return self.director.post(Order(do, on, to))

    def start(self, name: str = "kill-node") -> None:
        self.post("experiment", name)
        wait_until(lambda: self.describe() and self.describe()["reached"] == STEPS.index("watch"), "it watches")

    def describe(self) -> Any:
        return self.experiments.describe()

    def wait_log(self, text: str) -> None:
        wait_until(lambda: any(text in entry.text for entry in self.board.entries), text)

    def wait_end(self) -> None:
        wait_until(lambda: not self.director.waiting and self.director.running is None, "nothing runs")


@pytest.fixture
def running(tmp_path: Path, script: Script) -> Running:
    return Running(tmp_path)


def test_it_has_a_cluster_of_its_own_while_the_users_of_the_console_pause(running: Running, script: Script) -> None:
    running.start()
    assert running.load.is_paused
    own, of_experiment = running.clusters
    assert running.director.cluster is own
    view = running.describe()
    assert (view["stage"], str(view["title"])) == (RunStage.RUNNING, "kill a node, shared store")
    assert view["cluster"]["nodes"] == 3
    assert {one["name"] for one in view["cluster"]["members"]} == {one.name for one in of_experiment.members()}
    assert [str(stage) for stage in view["stages"]] == [
        *("starting", "users arrive", "steady", "apply: kill node-2", "watch", "undo", "steady again", "checking"),
    ]
    assert [stage.ko for stage in view["stages"]][3:5] == ["장애: node-2 강제 종료", "관찰"]
    script.go_on.set()
    running.wait_end()
    assert not running.load.is_paused
    assert own.members()
    assert not of_experiment.members()
    view = running.describe()
    assert (view["stage"], view["reached"], view["cluster"]["members"]) == (RunStage.ENDED, len(STEPS), [])
    assert view["results"] == [{"folder": "out", "case": "kill-node", "run": 1}]
    (result,) = read_results(running.experiments.archive.own).results
    assert result.findings is not None
    assert view["figures"]["operations"] == result.findings.total.operations
    running.wait_log("kill a node, shared store: as predicted; nobody was logged out and nothing was lost")


def test_stages_that_were_not_reached_are_not_shown_as_done(
    running: Running, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the cluster does not start: there is a result, and nothing was measured."""

    def fail(suite: Suite, watch: Callable[[Status], None]) -> Iterator[Result]:
        status = Status("", 1, 1)
        status.enter("starting")
        watch(status)
        yield msgspec.structs.replace(Run().write(suite.folder), timing=None, findings=None)

    monkeypatch.setattr(Suite, "run", fail)
    running.post("experiment", "kill-node")
    running.wait_log("experiment kill-node")
    running.wait_end()
    view = running.describe()
    assert (view["stage"], view["reached"]) == (RunStage.ENDED, 0)


def test_until_its_end_the_other_commands_are_refused(running: Running, script: Script) -> None:
    running.start()
    for do, argument in (("kill", "node-1"), ("experiment", "scale"), ("policy", "sticky")):
        with pytest.raises(Refused) as refusal:
            running.post(do, argument)
        assert refusal.value.reason.key == "experiment_runs"
    script.go_on.set()
    running.wait_end()
    running.post("policy", "sticky")


@pytest.mark.parametrize("command", ["stop", "undo"])
def test_stopped_it_leaves_no_cluster_and_no_result(running: Running, script: Script, command: str) -> None:
    running.start()
    running.post(command)
    running.wait_log("experiment kill-node: it was stopped")
    running.wait_end()
    assert script.undone == 1
    assert not running.clusters[1].members()
    assert not running.load.is_paused
    assert running.describe()["stage"] == RunStage.STOPPED
    assert running.experiments.archive.list_runs() == []
    with pytest.raises(Refused):
        running.post("stop")
    script.go_on.set()
    running.post("experiment", "kill-node")
    running.wait_log("as predicted")


def test_ended_by_a_signal_it_is_stopped_and_leaves_no_folder(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: LiveRun, status: Status) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LiveRun, "take", interrupt)
    experiments = Experiments({Place.LOCAL: FakeCluster}, running.experiments.archive)
    with pytest.raises(KeyboardInterrupt):
        experiments.run("kill-node")
    view = experiments.describe()
    assert view is not None
    assert view["stage"] == RunStage.STOPPED
    assert not running.experiments.archive.own.exists()


def test_a_second_run_does_not_replace_the_first(running: Running, script: Script) -> None:
    script.go_on.set()
    for _ in range(2):
        running.post("experiment", "kill-node")
        running.wait_end()
    assert sorted(one.run for one in running.experiments.archive.list_runs()) == [1, 2]


def test_one_variant_is_run_or_all_of_them(running: Running, script: Script) -> None:
    script.go_on.set()
    running.post("experiment", "replicas-cut-off.unguarded")
    running.wait_end()
    assert [one["case"] for one in running.describe()["results"]] == ["replicas-cut-off.unguarded"]
    running.post("experiment", "replicas-cut-off")
    running.wait_end()
    assert [(one["case"], one["run"]) for one in running.describe()["results"]] == [
        ("replicas-cut-off.guarded", 2),
        ("replicas-cut-off.unguarded", 2),
    ]


def test_a_folder_that_cannot_be_written_fails_the_command_and_not_the_console(
    running: Running, script: Script
) -> None:
    running.experiments.archive.own.write_text("a file is in its place")
    running.post("experiment", "kill-node")
    running.wait_log("File exists")
    running.wait_end()
    assert running.describe()["stage"] == RunStage.FAILED
    assert not running.load.is_paused
    running.post("kill", on="node-1")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Past runs of three folders, one of which is this console's."""
    Run(verdict=Verdict.BROKEN, title="<i>kill</i> a node").write(tmp_path / "own")
    Run(run=2, lost=3).write(tmp_path / "failover-1")
    (tmp_path / "other" / "kill-node" / "1").mkdir(parents=True)
    (tmp_path / "other" / "kill-node" / "1" / "result.json").write_text("{}")
    return Archive(tmp_path / "own", tmp_path)


def test_past_runs_are_those_of_all_folders_without_damaged_ones(archive: Archive) -> None:
    assert {(one.folder, one.case, one.run, one.verdict) for one in archive.list_runs()} == {
        ("own", "kill-node", 1, Verdict.BROKEN),
        ("failover-1", "kill-node", 2, Verdict.HOLDS),
    }
    (lost,) = [one.told for one in archive.list_runs() if one.run == 2]
    assert lost.en.startswith("1 of 1 users was logged out")
    assert lost.ko.startswith("사용자 1명 중 1명이 로그아웃됨")
    assert archive.next_run(["kill-node", "scale"]) == 2
    assert archive.next_run(["scale"]) == 1


def test_with_a_folder_of_its_own_there_are_no_others(tmp_path: Path, archive: Archive) -> None:
    assert {one.folder for one in Archive(tmp_path / "own").list_runs()} == {"own"}


@pytest.fixture
def client(tmp_path: Path, archive: Archive) -> Iterator[FlaskClient]:
    experiments = Experiments({Place.LOCAL: FakeCluster}, archive)
    board = Board()
    director = Director(ClusterSpec(), None, FakeCluster, board, tmp_path, experiments=experiments)
    console = Console(board, director, 8090)
    with create_app(console).test_client() as client:
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {console.token}"
        yield client


def get(client: FlaskClient, path: str, **more: Any) -> Any:
    return client.get(f"/console/experiments/{path}", base_url="http://127.0.0.1:8090", **more)


def test_the_list_has_all_experiments_with_hypotheses_and_claims(client: FlaskClient) -> None:
    body = get(client, "").json
    by_name = {one["name"]: one for one in body["experiments"]}
    assert by_name["kill-node"]["hypothesis"]["en"].startswith("Any node can die")
    (variant,) = by_name["kill-node"]["variants"]
    assert variant["claims"]
    assert variant["fault"] == {"en": "kill node-2", "ko": "node-2 강제 종료"}
    assert len(body["past"]) == 2


def test_a_verdict_has_its_claims_and_its_evidence(client: FlaskClient) -> None:
    body = get(client, "results/failover-1/kill-node/2").json
    (claim,) = body["claims"]
    assert claim["claim"] == {"en": "no GET fails", "ko": "실패하는 GET이 없다"}
    assert claim["seen"] == {"en": "0 of 119 GETs failed", "ko": "GET 119건 중 실패 0건"}
    assert (claim["phase"]["en"], claim["state"]) == ("", "holds")
    assert {one["happened"]["en"] for one in body["examples"]} == {"logged out"}
    assert body["command"] == "session-cluster failover run kill-node"


@pytest.mark.parametrize("kind", ["results", "reports"])
@pytest.mark.parametrize(
    "path",
    ["own/kill-node/9", "nowhere/kill-node/1", "../kill-node/1", "own/../1", "other/kill-node/1", "own/%2e%2e/1"],
)
def test_a_run_that_is_not_there_is_not_found(client: FlaskClient, kind: str, path: str) -> None:
    assert get(client, f"{kind}/{path}").status_code == 404


def test_a_report_is_in_a_sandbox_and_loads_nothing(client: FlaskClient) -> None:
    answer = get(client, "reports/own/kill-node/1")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/html")
    assert "&lt;i&gt;kill" in answer.text
    assert "<i>" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.endswith("sandbox")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert answer.headers["Cross-Origin-Opener-Policy"] == "unsafe-none"
    assert (answer.headers["X-Frame-Options"], answer.headers["Cache-Control"]) == ("DENY", "no-store")
    assert "<script" not in answer.text


def test_without_the_token_no_result_is_told(client: FlaskClient) -> None:
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer wrong"
    for path in ("", "results/own/kill-node/1", "reports/own/kill-node/1"):
        assert get(client, path).status_code == 403
