"""Experiments on a compose project that is none of the project's."""

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy import ClusterError, MemberState, Role
from deploy.ports import free_ports
from loadtest import faults
from loadtest.described.description import read_description
from loadtest.described.make_runtime import make_cluster
from loadtest.described.runtime import DescribedCluster
from loadtest.results import read_results
from tests.support.broken_target import BROKEN_TARGET
from tests.support.commands import run_command
from tests.support.described import write_target
from tests.support.waiting import wait_until

SHOP = Path(__file__).with_name("shop")


class ShopProject:
    """The project and its file, under a name and a port of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.name, self.folder, self.port = f"shop-{secrets.token_hex(4)}", folder, port
        shutil.copytree(SHOP, folder / "shop")
        self.file = write_target(folder, self._runtime(), url=f"http://127.0.0.1:{port}").path

    def _runtime(self) -> str:
        return f"""[runtime]
kind = "compose"
file = "shop/compose.yaml"
project = "{self.name}"
environment = {{ SHOP_PORT = "{self.port}" }}
roles.proxy = ["front"]
roles.node = ["web"]
roles.store = ["cache"]
"""

    def compose(self, *words: str) -> str:
        command = ["env", f"SHOP_PORT={self.port}", "docker", "compose", "-p", self.name]
        file = str(self.folder / "shop" / "compose.yaml")
        return subprocess.run([*command, "-f", file, *words], check=True, capture_output=True, text=True).stdout

    def states(self) -> list[str]:
        """Return the state of each container with its service: "web running"."""
        return sorted(filter(None, self.compose("ps", "--all", "--format", "{{.Service}} {{.State}}").split("\n")))

    def left(self) -> list[str]:
        """Containers and volumes of the project."""
        label = f"label=com.docker.compose.project={self.name}"
        found = []
        for words in (("ps", "--all"), ("volume", "ls")):
            command = ["docker", *words, "--quiet", "--filter", label]
            found += subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ShopProject]:
    made = ShopProject(tmp_path, *free_ports(1))
    yield made
    made.compose("down", "--volumes", "--timeout", "1")


def make(project: ShopProject) -> DescribedCluster:

    cluster = make_cluster(read_description(project.file))
    assert cluster is not None
    return cluster


def test_a_project_is_started_broken_scaled_repaired_and_removed(project: ShopProject) -> None:
    cluster = make(project)
    cluster.check()
    assert list(cluster.own_names().values()) == [
        f"{project.name}-{one}" for one in ("front-1", "web-1", "web-2", "cache-1")
    ]
    with cluster:
        for fault, broken in ((faults.kill("node-2"), MemberState.ENDED), (faults.PAUSE_STORE, MemberState.PAUSED)):
            fault.apply(cluster)
            assert broken in {one.state for one in cluster.members()}
            fault.undo(cluster)
            assert {one.state for one in cluster.members()} == {MemberState.RUNNING}
        faults.scale(3).apply(cluster)
        assert [one.name for one in cluster.members() if one.role is Role.NODE] == ["node-1", "node-2", "node-3"]
        faults.scale(3).undo(cluster)
        assert cluster.node_count == 2
    assert project.left() == []


def test_what_was_changed_since_the_image_was_built_is_built_again(project: ShopProject) -> None:
    folder = project.folder / "shop"
    (folder / "Dockerfile").write_text("FROM python:3.13-slim\nCOPY app.py /app/app.py\n")
    text = (folder / "compose.yaml").read_text()
    text = text.replace("image: python:3.13-slim", "build: .").replace('    volumes: ["./app.py:/app/app.py:ro"]\n', "")
    (folder / "compose.yaml").write_text(text)
    source, shown = folder / "app.py", []
    page = source.read_text()
    try:
        for value in ("before", "after"):
            source.write_text(page.replace('return 200, {}, ""', f'return 200, {{"is": "{value}"}}, ""', 1))
            with make(project):
                shown.append(requests.get(f"http://127.0.0.1:{project.port}/", timeout=10).json())
    finally:
        subprocess.run(["docker", "image", "rm", f"{project.name}-web"], check=False, capture_output=True)
    assert shown == [{"is": "before"}, {"is": "after"}]


def test_an_address_that_no_container_publishes_is_said_at_once(project: ShopProject) -> None:
    text, (other,) = project.file.read_text(), free_ports(1)
    project.file.write_text(text.replace(f"127.0.0.1:{project.port}", f"127.0.0.1:{other}"))
    started = time.monotonic()
    with pytest.raises(ClusterError) as error, make(project):
        pass
    where = f"{project.file}:{1 + text[: text.index('url = ')].count(chr(10))}"
    what = f"no container of {project.name} publishes port {other}; published: {project.port}"
    assert str(error.value) == f"{where}: http://127.0.0.1:{other} can't answer: {what}"
    assert time.monotonic() - started < 40, "not after start_timeout"
    assert project.left() == []


def test_a_project_that_was_started_ends_even_if_the_command_is_killed(project: ShopProject) -> None:
    words = [str(project.file), "pause store", "scale 3"]
    with subprocess.Popen([*BROKEN_TARGET, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline()
        assert len(project.left()) >= 5
        command.kill()
    wait_until(lambda: project.left() == [], "containers and volumes go", timeout=90.0)


def test_a_project_that_was_found_is_repaired_even_if_the_command_is_killed(project: ShopProject) -> None:
    project.compose("up", "--detach", "--wait")
    words = [str(project.file), "pause store", "kill node-2"]
    with subprocess.Popen([*BROKEN_TARGET, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline()
        command.kill()
    running = ["cache running", "front running", "web running", "web running"]
    wait_until(lambda: project.states() == running, "the project runs as before", timeout=90.0)


@pytest.mark.alone
def test_an_outage_of_a_project_that_was_found_running_which_runs_on(project: ShopProject, tmp_path: Path) -> None:
    project.compose("up", "--detach", "--wait")
    out = tmp_path / "out"
    words = ("failover", "run", "--target", project.file, "store-outage", "--short", "--users", 12, "--out", out)
    done = run_command(*words)
    (outage,) = read_results(out).results
    assert outage.findings is not None, outage.reason + done.stderr
    assert (outage.fault, outage.findings.sessions_lost) == ("pause the store", 0)
    claims = {one.claim: one for one in outage.claims}
    assert claims["writes are refused with an error"].holds
    assert claims["the cluster is steady after the undo"].holds
    assert project.states() == ["cache running", "front running", "web running", "web running"]


@pytest.mark.parametrize(
    ("policy", "words"), [("no", "has ended"), ("always", r"was restarted \d+ times")], ids=["ended", "loop"]
)
def test_a_member_that_does_not_start_is_said_at_once_with_its_last_line(
    project: ShopProject, policy: str, words: str
) -> None:
    file = project.folder / "shop" / "compose.yaml"
    file.write_text(file.read_text().replace("image: nginx:1.31", f"restart: '{policy}'\n    image: nginx:1.31"))
    config = project.folder / "shop" / "nginx.conf"
    config.write_text(config.read_text().replace("proxy_pass", "proxi_pass", 1))
    begin = time.monotonic()
    with pytest.raises(ClusterError, match=rf"^proxy \({project.name}-front-1\) {words}: .*unknown directive"):
        make(project).start()
    assert time.monotonic() - begin < 40, "start_timeout is 60 s"
    assert project.left() == []


def test_what_it_takes_to_build_images_is_not_part_of_the_start(project: ShopProject) -> None:
    (project.folder / "shop" / "Dockerfile").write_text(f"FROM python:3.13-slim\nRUN echo {project.name}; sleep 8\n")
    file = project.folder / "shop" / "compose.yaml"
    file.write_text(file.read_text().replace("image: python:3.13-slim", "build: ."))
    project.file.write_text(project.file.read_text().replace("[runtime]", "[runtime]\nstart_timeout = 7.5"))
    try:
        with make(project) as cluster:
            assert cluster.node_count == 2
    finally:
        project.compose("down", "--rmi", "local")


def test_a_service_is_ready_when_it_answers_its_request(project: ShopProject) -> None:
    ready = '[runtime.members.web]\nready = "tcp://127.0.0.1:1"\n'
    project.file.write_text(project.file.read_text().replace("[runtime]", "[runtime]\nstart_timeout = 8") + ready)
    said = r"toml:\d+: node-1 \(.*web-1\), .* within 8 s: tcp://127.0.0.1:1: nothing listens there$"
    with pytest.raises(ClusterError, match=said):
        make(project).start()
    project.file.write_text(project.file.read_text().replace("tcp://127.0.0.1:1", f"http://127.0.0.1:{project.port}/"))
    with make(project) as cluster:
        assert cluster.node_count == 2


def test_a_service_that_the_compose_file_does_not_have_is_said_with_its_line(project: ShopProject) -> None:
    project.file.write_text(project.file.read_text().replace('["web"]', '["webb"]'))
    done = run_command("failover", "list", "--target", project.file)
    line = project.file.read_text().splitlines().index('roles.node = ["webb"]') + 1
    text = f"{project.file}:{line}: shop/compose.yaml has no service 'webb': did you mean 'web'?"
    assert text in done.stderr.replace("\n", "")
    assert done.returncode == 1
