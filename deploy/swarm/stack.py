"""A stack on Docker Swarm, from stack.yaml: its files, its deployment, and the state of its services."""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from deploy.compose.docker import Engine
from deploy.compose.proxy import ALL_NODES
from deploy.compose.secret_files import write_secrets
from deploy.files import write_atomically
from deploy.spec import ClusterError
from deploy.swarm.settings import KEPT, OWN_URL, STACK, STORE_URL, StackSettings, write_settings
from deploy.waiting import holds_within
from nodes.accounts import UsersError
from proxy import ProxySettingsError, render
from proxy.containers import container_settings

LABEL = "com.docker.stack.namespace"
_FILES = {
    "STORE_URL": STORE_URL,
    "SESSION_SECRETS": "node/session-secrets",
    "USERS": "node/users.json",
    "REDIS_USERS": "store/users.acl",
    "REDIS_PASSWORD": "store/password",
    "REDIS_OPERATOR": "store/operator-password",
    "PROXY": "proxy/nginx.conf",
    "REDIS": "store/redis.conf",
}
"""Secrets and configurations of stack.yaml: the variable of the version, without its end, and the file."""
_FOLDERS = ("node", "express", "store", "database", "proxy", "users", "operator", "servers", "sentinels")
"""Those that setup writes to."""
_NO_SUBNET, _DOWN_AFTER = "198.19.77", 2.0  # of the servers that compose.yaml alone has
_SECONDS_TO_DEPLOY, _SECONDS_TO_END = 120.0, 120.0
_SECONDS_TO_BEGIN = 10.0
_SECONDS_TO_ELECT = 25.0
"""Managers elect a leader within 10 to 20 s, also where one that was cut off is back and the others have a leader."""
_ELECTION_POLL = 0.5
_NO_LEADER = ("does not have a leader", "code = DeadlineExceeded")
"""What the engine says meanwhile. A request may have been carried out then; all of a stack can be repeated."""
_DIGITS_OF_VERSION = 12
_STOPPED = {
    "rollback_completed": "was rolled back",
    "paused": "is paused",
    "rollback_paused": "failed, and its rollback is paused",
}
"""States of an update with which the managers do nothing more: what is said of each."""


class StackService(NamedTuple):
    """A service of a stack: how many of its tasks run, and how many should."""

    name: str
    running: int
    desired: int


class Task(NamedTuple):
    """A task of a stack. `state` is that of the engine ("running 5 seconds ago")."""

    name: str
    machine: str
    image: str
    desired: str
    state: str
    error: str
    """In one line."""


class Stack:
    """A stack of this name, through an engine that manages the swarm. Every method raises ClusterError."""

    def __init__(self, name: str, engine: Engine | None = None) -> None:
        self.name = name
        self.engine = engine or Engine()
        self._begun = 0.0
        """When the last change was asked for."""

    def require_manager(self) -> None:
        """Raise ClusterError unless the engine can change its swarm."""
        swarm = json.loads(self._ask("info", "--format", "{{json .Swarm}}"))
        if swarm["LocalNodeState"] == "inactive":
            raise ClusterError("the Docker engine is not in a swarm: run `docker swarm init` or `docker swarm join`")
        if not swarm["ControlAvailable"]:
            raise ClusterError("the Docker engine is a worker of its swarm: run this on a manager, or set DOCKER_HOST")
        self.machines()

    def machines(self) -> dict[str, str]:
        """Return host name -> address of the machines."""
        ids = self._ask("node", "ls", "--quiet").split()
        inspected = json.loads(self._ask("node", "inspect", *ids))
        return {one["Description"]["Hostname"]: one["Status"].get("Addr", "") for one in inspected}

    def services(self) -> list[StackService]:
        """Return the services; none without such a stack."""
        form = "{{.Name}}\t{{.Replicas}}"
        lines = self._ask("service", "ls", "--filter", f"label={LABEL}={self.name}", "--format", form)
        found = []
        for line in sorted(lines.splitlines()):
            name, _, replicas = line.partition("\t")
            running, desired = re.findall(r"\d+", replicas)[:2]
            found.append(StackService(name.removeprefix(f"{self.name}_"), int(running), int(desired)))
        return found

    def tasks(self) -> list[Task]:
        """Return the tasks, also earlier ones."""
        lines = self._ask("stack", "ps", "--no-trunc", "--format", "{{json .}}", self.name)
        return [_parse_task(self.name, json.loads(line)) for line in lines.split("\n") if line.strip()]

    def redis_machine(self) -> str:
        """Return the machine that the stack's own Redis is pinned to; empty where there is none."""
        if all(one.name != "redis" for one in self.services()):
            return ""
        form = "{{json .Spec.TaskTemplate.Placement.Constraints}}"
        constraints = json.loads(self._ask("service", "inspect", "--format", form, f"{self.name}_redis"))
        found = [one.rpartition("== ")[2] for one in constraints or () if one.startswith("node.hostname")]
        return "" if found in ([], ["none"]) else found[0]

    def deploy(self, settings: StackSettings, folder: Path, *override: Path, nginx_conf: str = "") -> None:
        """Write the missing secrets and the configurations into `folder`, and deploy what they say. Unless the engine
        refuses them, the settings are kept for the next deployment."""
        machines = self.machines()
        if not settings.store_url:
            here = self._ask("info", "--format", "{{.Name}}").strip()
            machine = settings.store_machine or self.redis_machine() or here
            if machine not in machines:
                raise ClusterError(f"the swarm has no machine {machine!r}: it has {', '.join(sorted(machines))}")
            settings = replace(settings, store_machine=machine)
        hosts = (*machines, *filter(None, machines.values()), *settings.hosts)
        with _restored_if_refused(folder / STORE_URL, folder / KEPT):
            write_files(settings, folder, hosts, nginx_conf)
            write_settings(settings, folder)
            variables = make_variables(settings, folder)
            files = [word for file in (STACK, *override) for word in ("--compose-file", str(file))]
            words = ("stack", "deploy", "--prune", "--resolve-image", settings.resolve_image, *files)
            self._ask(*words, self.name, timeout=_SECONDS_TO_DEPLOY, engine=Engine(variables, self.engine.host))
        self._begun = time.monotonic()

    def update_image(self, service: str, image: str) -> None:
        """Replace the image of a service, which each machine has."""
        words = ("service", "update", "--detach", "--no-resolve-image", "--image", image)
        self._ask(*words, f"{self.name}_{service}")
        self._begun = time.monotonic()

    def wait_deployed(self, timeout: float) -> None:
        """Block until every service has its tasks and no update is under way. Raises ClusterError for an update that
        was rolled back, and after `timeout` seconds, with the first error of a task."""
        if not holds_within(self._is_deployed, timeout, poll=0.5):
            missing = ", ".join(
                f"{one.name} {one.running}/{one.desired}" for one in self.services() if self._lacks(one)
            )
            error = next((task.error for task in self.tasks() if task.error), "")
            raise ClusterError(f"not running within {timeout:g} s: {missing or 'the update'}{error and f'; {error}'}")

    def remove(self) -> None:
        """Remove all of it but volumes. Block until its tasks and networks are gone."""
        self._ask("stack", "rm", self.name, timeout=_SECONDS_TO_END)

        def is_gone() -> bool:
            label = f"label={LABEL}={self.name}"
            return not any(
                self._ask(*words, "--quiet", "--filter", label).strip()
                for words in (("service", "ls"), ("network", "ls"))
            )

        if not holds_within(is_gone, _SECONDS_TO_END, poll=0.5):
            raise ClusterError(f"stack {self.name} is not gone within {_SECONDS_TO_END:g} s: see `docker stack ps`")

    def updates(self) -> dict[str, str]:
        """Return service -> the state of its last update: completed, updating, rollback_completed and so on; "" for one
        that has not begun yet."""
        names = [f"{self.name}_{one.name}" for one in self.services() if one.desired]
        if not names:
            return {}
        inspected = json.loads(self._ask("service", "inspect", *names))
        found = {one["Spec"]["Name"].removeprefix(f"{self.name}_"): _update_state(one) for one in inspected}
        return {name: state for name, state in found.items() if state is not None}

    def _is_deployed(self) -> bool:
        states = self.updates()
        for service, state in states.items():
            if state in _STOPPED:
                name = f"{service}."
                error = next((task.error for task in self.tasks() if task.error and task.name.startswith(name)), "")
                happened = f"the update of {service} {_STOPPED[state]}"
                raise ClusterError(f"{happened}: {error or 'a new task did not run'}")
        # Swarm may also write what is the same in another way: it is a change only if the managers begin with it.
        unbegun = time.monotonic() - self._begun > _SECONDS_TO_BEGIN
        if set(states.values()) - {"completed", *([""] if unbegun else [])}:
            return False
        services = self.services()
        return bool(services) and not any(self._lacks(one) for one in services)

    @staticmethod
    def _lacks(service: StackService) -> bool:
        return service.running != service.desired

    def _ask(self, *arguments: str, timeout: float = 60.0, engine: Engine | None = None) -> str:
        """Run `docker ...`, again while the managers elect a leader; return its standard output."""
        until = time.monotonic() + _SECONDS_TO_ELECT
        while True:
            try:
                return (engine or self.engine).docker(*arguments, timeout=timeout)
            except ClusterError as error:
                if not any(one in str(error) for one in _NO_LEADER) or time.monotonic() > until:
                    raise
                time.sleep(_ELECTION_POLL)


@contextmanager
def _restored_if_refused(*files: Path) -> Iterator[None]:
    """Give these files the contents that they had before the block where it raises ClusterError."""
    try:
        before = {file: file.read_bytes() if file.exists() else None for file in files}
    except OSError as error:
        raise ClusterError(f"{error.filename} cannot be read: {error.strerror}") from error
    try:
        yield
    except ClusterError:
        for file, contents in before.items():
            with suppress(OSError):  # the first error says more
                if contents is None:
                    file.unlink(missing_ok=True)
                else:
                    write_atomically(file, contents)
        raise


def _parse_task(stack: str, said: Mapping[str, str]) -> Task:
    """Return the task that `docker stack ps` describes."""
    return Task(
        name=said["Name"].removeprefix(f"{stack}_"),
        machine=said["Node"],
        image=said["Image"],
        desired=said["DesiredState"],
        state=said["CurrentState"],
        error=" ".join(said["Error"].split()),
    )


def _update_state(service: Mapping[str, Any]) -> str | None:
    """Return the state of the update that `docker service inspect` describes; None where nothing is to be updated."""
    if status := service.get("UpdateStatus"):
        return str(status["State"])
    # Each deployment forgets the state of the one before. What is to change has none until the managers begin.
    new, old = service["Spec"], service.get("PreviousSpec") or service["Spec"]
    return "" if any(new.get(part) != old.get(part) for part in ("TaskTemplate", "EndpointSpec")) else None


def make_variables(settings: StackSettings, folder: Path) -> dict[str, str]:
    """Return the variables of stack.yaml for the files in `folder`."""
    versions = {
        f"{name}_VERSION": hashlib.sha256((folder / path).read_bytes()).hexdigest()[:_DIGITS_OF_VERSION]
        for name, path in _FILES.items()
    }
    return {
        "STACK": settings.name,
        "FOLDER": str(folder.resolve()),
        "IMAGE": settings.image,
        "NODES": str(settings.nodes),
        "PORT": str(settings.port),
        "SESSION_STORE": settings.store,
        "REDIS_REPLICAS": "0" if settings.store_url else "1",
        "REDIS_MACHINE": settings.store_machine or "none",
        "REDIS_MEMORY": str(settings.redis_memory),
        "STORE_INTERNAL": "false" if settings.store_url else "true",
        "STORE_NETWORK": "store-outside" if settings.store_url else "store",
        **settings.variables,
        **versions,
    }


def write_files(settings: StackSettings, folder: Path, hosts: Sequence[str], nginx_conf: str = "") -> None:
    """Write what becomes secrets and configurations; secrets that are there stay. `nginx_conf` replaces that of the
    settings. Raises ClusterError."""
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        write_atomically(folder / ".gitignore", "*\n")
        write_secrets(list(settings.users), _NO_SUBNET, _DOWN_AFTER, folder)
        own = (folder / OWN_URL).read_text(encoding="utf-8")
        write_atomically(folder / STORE_URL, settings.store_url or own)
        write_atomically(folder / "proxy" / "nginx.conf", nginx_conf or _render(settings, hosts))
    except OSError as error:
        raise ClusterError(f"folder {folder} cannot be written: {error.strerror}") from error
    except (UsersError, ProxySettingsError) as error:
        raise ClusterError(str(error)) from error


def _render(settings: StackSettings, hosts: Sequence[str]) -> str:
    defaults = container_settings((ALL_NODES,))
    return render(
        replace(
            defaults,
            hosts=tuple(dict.fromkeys((*defaults.hosts, *hosts))),
            balance=settings.balance,
            session_cookie=settings.variables.get("SESSION_NAME", defaults.session_cookie),
            trusted_proxies=settings.trusted_proxies,
        )
    )


def read_users(folder: Path) -> dict[str, str]:
    """Return name -> password of the first users. Raises ClusterError."""
    try:
        users: dict[str, str] = json.loads((folder / "users" / "passwords.json").read_text(encoding="utf-8"))["users"]
    except OSError as error:
        raise ClusterError(f"folder {folder} has no users: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ClusterError(f"{folder / 'users' / 'passwords.json'} is damaged: {error}") from error
    return users
