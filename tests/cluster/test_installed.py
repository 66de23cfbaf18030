"""The package session-cluster, installed into an empty environment and used outside of any checkout."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.distributions import Environment, build
from tests.support.http_client import HttpClient
from tests.support.node import ROOT
from tests.support.waiting import wait_until

SECONDS = 100


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("environment"))
    environment.install(f"{build('.', tmp_path_factory.mktemp('project')).wheel}[embedded]")
    return environment


@pytest.mark.timeout(500)
def test_an_experiment_runs(environment: Environment, tmp_path: Path) -> None:
    command = ("session-cluster", "failover", "run", "kill-node", "--short", "--out", "results")
    done = environment.run(*command, cwd=tmp_path, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as predicted: " in done.stdout
    assert (tmp_path / "results" / "results.json").exists()


@pytest.mark.timeout(500)
def test_a_scene_of_the_demo_runs(environment: Environment, tmp_path: Path) -> None:
    done = environment.run("session-cluster", "demo", "--scene", "three-nodes", cwd=tmp_path, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(500)
def test_the_nodes_serve_an_application_of_the_current_folder(environment: Environment, tmp_path: Path) -> None:
    example = (ROOT / "docs" / "examples" / "hello.py").read_text()
    (tmp_path / "hello.py").write_text(example.replace("nodes.sessions", "flask_shared_sessions"))
    command = [str(environment.bin / "session-cluster"), "up", "--port", "0", "--state", "state", "--app", "hello:app"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as up:
        try:
            described = tmp_path / "state" / "cluster.json"
            wait_until(lambda: described.exists() or up.poll() is not None, "it runs", SECONDS)
            assert up.poll() is None, up.communicate()[0]
            browser = HttpClient(json.loads(described.read_text())["url"])
            assert [browser.get("/").json()["visits"] for _ in range(3)] == [1, 2, 3]
        finally:
            up.terminate()


def test_the_pages_of_an_installed_node_have_their_korean_texts(environment: Environment, tmp_path: Path) -> None:
    done = environment.run(
        "python", "-c", "from nodes.language import CATALOGUE; print(CATALOGUE.to_korean('Cart'))", cwd=tmp_path
    )
    assert done.stdout.strip() == "장바구니", done.stderr


@pytest.mark.parametrize(
    ("command", "thing"),
    [
        ("up --node express", "the Express application"),
        ("load --node express", "the Express application"),
        ("failover run kill-node --on compose", "clusters in containers"),
        ("load --on compose", "clusters in containers"),
    ],
)
@pytest.mark.timeout(500)
def test_what_needs_the_checkout_says_so_in_one_line(
    environment: Environment, tmp_path: Path, command: str, thing: str
) -> None:
    done = environment.run("session-cluster", *command.split(), cwd=tmp_path, timeout=SECONDS)
    (line,) = done.stderr.splitlines()
    assert thing in line
    assert "checkout, not" in line
    assert done.returncode == 1
