"""The image of compose.yaml: each project runs the code of its own checkout, as it is at each `up`."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.compose.project import Compose
from tests.support.node import ROOT

FILES = (
    "compose.yaml",
    "Dockerfile",
    ".dockerignore",
    "requirements.lock",
    "requirements-load.lock",
    "pyproject.toml",
    "session_cluster.py",
)
FOLDERS = ("deploy", "proxy", "nodes", "loadtest")
PRINT_MARK = ("run", "--rm", "--no-deps", "--entrypoint", "python", "setup", "-c", "import nodes; print(nodes.MARK)")


@pytest.fixture
def checkouts(tmp_path: Path) -> Iterator[tuple[Compose, Compose]]:
    """Two projects, each with a copy of this checkout."""
    projects = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for file in FILES:
            shutil.copy(ROOT / file, folder)
        for each in FOLDERS:
            shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        projects.append(Compose(folder))
    yield projects[0], projects[1]
    for project in projects:
        project.down("--volumes", "--rmi", "local")


def mark(project: Compose, text: str) -> str:
    """Change the code of a checkout, start `setup` as `up` does, and return what its container runs."""
    with (project.checkout / "nodes" / "__init__.py").open("a") as file:
        file.write(f"MARK = {text!r}\n")
    project("up", "--detach", "setup")
    return project(*PRINT_MARK).strip()


def test_each_checkout_runs_its_own_code_as_it_is_at_the_start(checkouts: tuple[Compose, Compose]) -> None:
    one, two = checkouts
    assert (mark(one, "one"), mark(two, "two"), one(*PRINT_MARK).strip()) == ("one", "two", "one")
    assert mark(one, "changed") == "changed"


def test_the_image_of_the_nodes_has_no_load_generator_and_a_numeric_user(project: Compose) -> None:
    def run(image: str, *command: str) -> subprocess.CompletedProcess[str]:
        container = ("docker", "run", "--rm", "--network", "none", f"{project.name}-{image}", *command)
        return subprocess.run(container, capture_output=True, text=True, check=False, timeout=60)

    for module in ("locust", "loadtest"):
        assert f"No module named '{module}'" in run("image", "python", "-c", f"import {module}").stderr
        assert run("load-image", "python", "-c", f"import {module}").returncode == 0
    for image, title in (("image", "Session Cluster: node"), ("load-image", "Session Cluster: load")):
        (described,) = json.loads(subprocess.check_output(["docker", "image", "inspect", f"{project.name}-{image}"]))
        assert described["Config"]["User"] == "10001:10001"
        labels = {
            name.removeprefix("org.opencontainers.image."): text for name, text in described["Config"]["Labels"].items()
        }
        assert labels["title"] == title
        assert {"description", "licenses", "base.name", "version", "revision"} < set(labels)
