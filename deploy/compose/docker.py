"""The Docker engine: `docker compose` for one project, and the state of its containers."""

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.cluster import MemberState
from deploy.spec import ClusterError

_ROOT = Path(__file__).parents[2]
_FILE = _ROOT / "compose.yaml"
PROJECT_LABEL, _SERVICE_LABEL, _NUMBER_LABEL, _ONE_OFF_LABEL = (
    f"com.docker.compose.{what}" for what in ("project", "service", "container-number", "oneoff")
)
STATES = {"running": MemberState.RUNNING, "paused": MemberState.PAUSED}
# Only these: settings for `docker compose` on this machine must not override a `ClusterSpec`.
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "COMPOSE_BAKE")

_CANNOT_FREEZE = "unable to freeze"
"""What runc says where a process does not stop within its 1,000 attempts."""
_SECONDS_TO_FREEZE, _FREEZE_INTERVAL = 10.0, 0.1


@dataclass(frozen=True)
class Container:
    """A container of a project."""

    id: str
    name: str
    service: str
    number: int
    state: MemberState
    """Without regard to the proxy's rotation."""
    healthy: bool
    """By its health check; that of our compose.yaml runs every two seconds."""
    has_check: bool
    pid: int
    addresses: Mapping[str, str]
    """Network (without the project's name) -> IP address; empty where it does not run."""
    has_exited: bool
    """It has ended, and the engine does not start it again."""
    restarts: int
    """How often the engine has started it again, by its restart policy."""
    exit_reason: str
    """How its main process has ended: "exit status 3", "out of memory"; empty while it runs."""


class Engine:
    """The Docker engine that `docker` uses, or the one at `host`. Every method raises ClusterError.

    Commands get `variables`; of the environment they have what `docker` itself needs.
    """

    def __init__(self, variables: Mapping[str, str] | None = None, host: str = "") -> None:
        own = {key: value for key, value in os.environ.items() if key in _PASSED_ON or key.startswith("DOCKER_")}
        if host:
            own = {key: value for key, value in own.items() if key != "DOCKER_CONTEXT"} | {"DOCKER_HOST": host}
        self.host = host
        self._environment = {**own, **(variables or {})}

    def docker(self, *arguments: str, timeout: float = 60.0, stdin: str = "") -> str:
        """Run `docker ...`; return its standard output."""
        return self.run(["docker", *arguments], timeout, stdin.encode()).decode()

    def pause(self, container: str) -> None:
        """Pause a container; again for some seconds where the engine can't freeze it, as a busy PostgreSQL."""
        until = time.monotonic() + _SECONDS_TO_FREEZE
        while True:
            try:
                self.docker("pause", container)
            except ClusterError as error:
                if _CANNOT_FREEZE not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(_FREEZE_INTERVAL)
            else:
                return

    def read(self, container: str, path: str) -> str:
        """Return the text of a file in a container, which need not run, or in one of its volumes."""
        with tarfile.open(fileobj=io.BytesIO(self.run(["docker", "cp", f"{container}:{path}", "-"], 60.0))) as tar:
            member = tar.extractfile(tar.next() or "")
            return member.read().decode() if member else ""

    def write(self, container: str, path: PurePosixPath, text: str) -> None:
        """Replace a file in a container's volume, readable by every user there."""
        packed = io.BytesIO()
        info = tarfile.TarInfo(path.name)
        info.size, info.mode = len(text.encode()), 0o644
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.addfile(info, io.BytesIO(text.encode()))
        self.run(["docker", "cp", "-", f"{container}:{path.parent}"], 60.0, packed.getvalue())

    def log_lines(self, container: str, count: int) -> tuple[str, ...]:
        """Return the last lines that a container wrote to stdout and stderr."""
        script = 'exec docker logs --tail "$1" "$2" 2>&1'
        output = self.run(["sh", "-c", script, "sh", str(count), container], 15.0)
        return tuple(output.decode(errors="replace").splitlines())

    def succeeds(self, container: str, *command: str) -> bool:
        """Return whether a command in a container ends with 0, within some seconds."""
        try:
            self.docker("exec", container, *command, timeout=5.0)
        except ClusterError:
            return False
        return True

    def inspect(self, *filters: str) -> list[dict[str, Any]]:
        """Return the engine's descriptions of the containers with these labels; of those that have ended, too."""
        chosen = [word for each in filters for word in ("--filter", f"label={each}")]
        ids = self.docker("ps", "--all", "--quiet", *chosen).split()
        if not ids:
            return []
        try:
            inspected: list[dict[str, Any]] = json.loads(self.docker("inspect", *ids))
        except ClusterError as error:
            if "no such" not in str(error).lower():
                raise
            return self.inspect(*filters)  # one has been removed meanwhile, by another thread
        return inspected

    def containers_of(self, project: str) -> list[Container]:
        """Return the containers of a compose project's services, by number; those that have ended too."""
        found = [_parse_container(project, one) for one in self.inspect(f"{PROJECT_LABEL}={project}")
                 if one["Config"]["Labels"].get(_ONE_OFF_LABEL) != "True"]  # fmt: skip
        return sorted(found, key=lambda one: one.number)

    def run(self, command: list[str], timeout: float, stdin: bytes = b"") -> bytes:
        pipe = subprocess.PIPE
        try:
            # Ctrl-C at the terminal is for this process: a second one must not end a `docker compose down`.
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment, start_new_session=True
            )
        except FileNotFoundError:
            raise ClusterError("docker is not installed: install Docker, or use local processes") from None
        with process:
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except BaseException as error:  # Ctrl-C too
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise ClusterError(f"`{_short(command)}` did not end within {timeout:g} s") from None
                raise
        if process.returncode != 0:
            said = stderr.decode(errors="replace").splitlines()
            lines = [line.strip() for line in said if line.strip() and "level=warning" not in line]
            raise ClusterError(_explain(command, lines[-1] if lines else f"exit status {process.returncode}"))
        return stdout


class Project(Engine):
    """One compose project, from the checkout's compose.yaml and an override. Every method raises ClusterError.

    `variables` are those of compose.yaml; `.env` and the environment are ignored.
    """

    def __init__(self, name: str, variables: Mapping[str, str], override: Mapping[str, Any], folder: Path) -> None:
        _require_checkout()
        super().__init__(variables)
        self.name = name
        self._override = folder / "override.json"
        self._override.write_text(json.dumps(override), encoding="utf-8")  # JSON is YAML too

    def compose(self, *arguments: str, timeout: float) -> str:
        """Run `docker compose ...`; return its standard output."""
        files = ["-f", str(_FILE), "-f", str(self._override)]
        place = ["--project-directory", str(_ROOT), "--env-file", os.devnull]
        return self.run(["docker", "compose", "-p", self.name, *files, *place, *arguments], timeout).decode()

    def containers(self, service: str | None = None) -> list[Container]:
        """Return the containers of one service or of all, by number; those that have ended too."""
        return [one for one in self.containers_of(self.name) if service in (None, one.service)]


def require_engine() -> None:
    """Raise ClusterError if the checkout, the Docker engine or its compose plugin is missing or unusable."""
    _require_checkout()
    engine = Engine()
    engine.docker("version")
    engine.docker("compose", "version")


def _require_checkout() -> None:
    if not _FILE.is_file():
        raise ClusterError(f"no such file: {_FILE}; clusters in containers need the checkout, not only the package")


def _short(command: list[str]) -> str:
    return " ".join(command[:2]) if command[1] != "compose" else "docker compose"


def _explain(command: list[str], message: str) -> str:
    if "Cannot connect to the Docker daemon" in message or "failed to connect to the docker API" in message:
        return "the Docker engine is not running, or this user may not use it: start it, or use local processes"
    if "'compose' is not a docker command" in message or "unknown shorthand flag: 'p'" in message:
        return "docker has no `compose`: install the compose plugin"
    return f"{_short(command)}: {message}"


def _parse_container(project: str, inspected: dict[str, Any]) -> Container:
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        service=inspected["Config"]["Labels"][_SERVICE_LABEL],
        number=int(inspected["Config"]["Labels"][_NUMBER_LABEL]),
        state=STATES.get(inspected["State"]["Status"], MemberState.ENDED),
        healthy=inspected["State"].get("Health", {}).get("Status") == "healthy",
        has_check="Health" in inspected["State"],
        pid=inspected["State"]["Pid"],
        addresses=parse_addresses(project, inspected),
        has_exited=inspected["State"]["Status"] in {"exited", "dead"},
        restarts=inspected.get("RestartCount", 0),
        exit_reason=_describe_end(inspected["State"]),
    )


def _describe_end(state: Mapping[str, Any]) -> str:
    if state["Status"] in STATES:
        return ""
    return "out of memory" if state.get("OOMKilled") else f"exit status {state.get('ExitCode', 0)}"


def parse_addresses(project: str, inspected: Mapping[str, Any]) -> dict[str, str]:
    """Return network -> IP address of a container, without the name of its project or stack before the network's."""
    networks = inspected["NetworkSettings"]["Networks"].items()
    return {name.removeprefix(f"{project}_"): one["IPAddress"] for name, one in networks if one["IPAddress"]}
