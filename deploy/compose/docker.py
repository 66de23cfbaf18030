"""The Docker engine as far as a cluster needs it: `docker compose` for one project, and what its containers are."""

import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import deploy
from deploy.errors import ClusterError

_ROOT = Path(deploy.__file__).parent.parent
_FILE = _ROOT / "compose.yaml"
_PROJECT_LABEL, _SERVICE_LABEL, _NUMBER_LABEL = (
    f"com.docker.compose.{what}" for what in ("project", "service", "container-number")
)
# What a person has set for `docker compose` on this machine is not what a `ClusterSpec` says.
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "COMPOSE_BAKE")


@dataclass(frozen=True)
class Container:
    """A container of a project. `state` is the engine's word: created, running, paused, restarting, exited, dead."""

    id: str
    name: str
    service: str
    number: int
    state: str
    healthy: bool
    """By the health check of compose.yaml, which looks every two seconds."""
    pid: int
    addresses: Mapping[str, str]
    """Network (without the project's name) -> IP address; empty where it does not run."""


class Project:
    """One compose project, from the checkout's compose.yaml and an override. Every method raises ClusterError.

    `variables` are those of compose.yaml; `.env` and the environment count for nothing here.
    """

    def __init__(self, name: str, variables: Mapping[str, str], override: Mapping[str, Any], folder: Path) -> None:
        if not _FILE.is_file():
            raise ClusterError(f"there is no {_FILE}: clusters in containers need the checkout, not only the package")
        self.name = name
        own = {key: value for key, value in os.environ.items() if key in _PASSED_ON or key.startswith("DOCKER_")}
        self._environment = {**own, **variables}
        self._override = folder / "override.json"
        self._override.write_text(json.dumps(override), encoding="utf-8")  # JSON is YAML too

    def compose(self, *arguments: str, timeout: float) -> str:
        """`docker compose ...`; its standard output."""
        files = ["-f", str(_FILE), "-f", str(self._override)]
        place = ["--project-directory", str(_ROOT), "--env-file", os.devnull]
        return self._run(["docker", "compose", "-p", self.name, *files, *place, *arguments], timeout).decode()

    def docker(self, *arguments: str, timeout: float = 60.0) -> str:
        """`docker ...`; its standard output."""
        return self._run(["docker", *arguments], timeout).decode()

    def read(self, container: Container, path: str) -> str:
        """A file in a container, which need not run, or in one of its volumes."""
        with tarfile.open(fileobj=io.BytesIO(self._run(["docker", "cp", f"{container.id}:{path}", "-"], 60.0))) as tar:
            member = tar.extractfile(tar.next() or "")
            return member.read().decode() if member else ""

    def write(self, container: Container, path: PurePosixPath, text: str) -> None:
        """Replace a file in a container's volume by one that everybody there may read."""
        packed = io.BytesIO()
        info = tarfile.TarInfo(path.name)
        info.size, info.mode = len(text.encode()), 0o644
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.addfile(info, io.BytesIO(text.encode()))
        self._run(["docker", "cp", "-", f"{container.id}:{path.parent}"], 60.0, packed.getvalue())

    def succeeds(self, container: Container, *command: str) -> bool:
        """Whether a command in a container ends with 0, within some seconds."""
        try:
            self.docker("exec", container.id, *command, timeout=5.0)
        except ClusterError:
            return False
        return True

    def containers(self, service: str | None = None) -> list[Container]:
        """Of one service or of all, by number; those that have ended too."""
        ids = self.docker("ps", "--all", "--quiet", "--filter", f"label={_PROJECT_LABEL}={self.name}").split()
        if not ids:
            return []
        found = [_container(self.name, one) for one in json.loads(self.docker("inspect", *ids))]
        return sorted((one for one in found if service in (None, one.service)), key=lambda one: one.number)

    def _run(self, command: list[str], timeout: float, given: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                env=self._environment,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError:
            raise ClusterError("docker is not installed: install Docker, or use local processes") from None
        except subprocess.TimeoutExpired:
            raise ClusterError(f"`{_shown(command)}` did not end within {timeout:g} s") from None
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").splitlines()
            said = [line.strip() for line in lines if line.strip() and "level=warning" not in line]
            raise ClusterError(_meaning(command, said[-1] if said else f"exit status {done.returncode}"))
        return done.stdout


def require_engine() -> None:
    """Raises ClusterError where there is no Docker engine or no compose plugin, or they cannot be used."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project("session-cluster", {}, {}, Path(folder))
        project.docker("version")
        project.docker("compose", "version")


def _shown(command: list[str]) -> str:
    return " ".join(command[:2]) if command[1] != "compose" else "docker compose"


def _meaning(command: list[str], said: str) -> str:
    if "Cannot connect to the Docker daemon" in said or "failed to connect to the docker API" in said:
        return "the Docker engine is not running, or this user may not use it: start it, or use local processes"
    if "'compose' is not a docker command" in said or "unknown shorthand flag: 'p'" in said:
        return "docker has no `compose`: install the compose plugin"
    return f"{_shown(command)}: {said}"


def _container(project: str, told: dict[str, Any]) -> Container:
    networks = told["NetworkSettings"]["Networks"]
    return Container(
        id=told["Id"],
        name=told["Name"].lstrip("/"),
        service=told["Config"]["Labels"][_SERVICE_LABEL],
        number=int(told["Config"]["Labels"][_NUMBER_LABEL]),
        state=told["State"]["Status"],
        healthy=told["State"].get("Health", {}).get("Status") == "healthy",
        pid=told["State"]["Pid"],
        addresses={
            name.removeprefix(f"{project}_"): network["IPAddress"]
            for name, network in networks.items()
            if network["IPAddress"]
        },
    )
