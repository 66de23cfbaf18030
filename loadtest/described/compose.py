"""The runtime "compose": the containers of somebody's compose project, by the services of each role."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psutil

from deploy import ClusterError, Member, MemberState, Role
from deploy.compose.docker import PROJECT_LABEL, Container, Engine
from deploy.steps import run_all
from deploy.waiting import holds_within
from loadtest.described.description import TargetDescription
from loadtest.described.names import name_members, role_of
from loadtest.described.runtime import SECONDS_TO_STOP, DescribedCluster
from proxy.settings import did_you_mean

_SECONDS_TO_DESCRIBE = 30.0
_SECONDS_TO_MAKE = 1800.0
_SECONDS_TO_END = 120.0
_POLL = 0.2
_HERE = {"127.0.0.1", "localhost", "::1"}
_BINDINGS = (("NetworkSettings", "Ports"), ("HostConfig", "PortBindings"))
"""Where the engine has the ports of a container: those that it publishes, and those that it was made with."""
_SECONDS_KNOWN = 1.0
_RESTARTS = 6
"""They take 6 s and more, as the engine waits twice as long each time: a node may end until its store serves."""


class ServicesCluster(DescribedCluster):
    """Members that are containers. The first container of the service `web` with the role node is node-1."""

    def __init__(self, description: TargetDescription) -> None:
        super().__init__(description)
        self._config: Mapping[str, Any] | None = None
        self._names: tuple[float, Mapping[str, str]] = (-math.inf, {})
        self._had_containers = False
        self._volumes: set[str] = set()
        """Those that there were before the start."""
        self._mounted: set[str] = set()
        """Those of containers of the project: of these the anonymous ones have no label."""
        self._is_ours = False
        """Whether the project was started by this object."""
        self._is_built = False

    @property
    def _engine(self) -> Engine:
        """The engine, with the variables as they are now, which a compose file may use: while the target runs, STATE is
        one of them."""
        return Engine(self.environment())

    def own_names(self) -> Mapping[str, str]:
        """Return the names of containers; before they exist, those that they will have. Each counts for a second."""
        at, names = self._names
        if time.monotonic() - at > _SECONDS_KNOWN:
            names = self._find_names()
            self._names = time.monotonic(), names
        return names

    def _find_names(self) -> Mapping[str, str]:
        found = self._find_containers()
        if found:
            return {name: container.name for name, container in found.items()}
        return name_members(
            {role: [name for service in self._services(role) for name in self._future_names(service)] for role in Role}
        )

    def members(self) -> tuple[Member, ...]:
        return tuple(
            Member(
                name,
                role_of(name),
                next(iter(one.addresses.values()), ""),
                one.pid or None,
                f"docker logs {one.name}",
                one.state,
                one.name,
            )
            for name, one in self._find_containers().items()
        )

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        return self._engine.log_lines(self._container(name).id, count)

    def exit_reason(self, name: str) -> str:
        return self._container(name).exit_reason

    def check(self) -> None:
        """Raise ClusterError for a service that the compose file does not have."""
        if not self.runtime.files:
            return
        services = self._read_config()["services"]
        for role in Role:
            for name in self._services(role):
                if name not in services:
                    where = self.description.where("runtime", "roles", role.value)
                    what = f"{', '.join(self.runtime.files)} has no service {name!r}: {did_you_mean(name, services)}"
                    raise ClusterError(f"{where}: {what}")

    def _start(self) -> None:
        self.check()
        containers = self._engine.containers_of(self._project)
        self._had_containers = bool(containers)
        found = self._find_containers()
        running = {name for name, one in found.items() if one.state is not MemberState.ENDED}
        if running:
            for role in Role:
                for service in self._services(role):
                    if not any(found[name].service == service for name in running):
                        raise ClusterError(f"{self._project} runs without its service {service}: start it, or stop all")
            if paused := [name for name in running if found[name].state is MemberState.PAUSED]:
                raise ClusterError(f"{self.show(paused[0])} is paused: unpause it first")
            return
        if not self.runtime.files:
            raise ClusterError(f"the project {self._project} does not run: start it, or give runtime.file")
        self._set_up()
        self._volumes, self._mounted, self._is_ours = self._list_volumes(), set(), True
        self._note()
        build = () if self._is_built else ("--build",)  # what the sources are now, once for all runs
        self._compose("up", "--no-start", *build, timeout=_SECONDS_TO_MAKE)
        self._is_built = True
        self._compose("up", "--detach", timeout=self.runtime.start_timeout)

    def _list_own(self) -> dict[str, Any]:
        if not self._is_ours:
            return {}
        kept = {"volumes": sorted(self._volumes), "mounted": sorted(self._mounted)}
        return {"is_ours": True, "had_containers": self._had_containers, **kept}

    def _take_over(self, own: Mapping[str, Any]) -> None:
        if own:
            self._is_ours, self._had_containers = True, own["had_containers"]
            self._volumes, self._mounted = set(own["volumes"]), set(own["mounted"])
            self._end_commands()

    def _end_commands(self) -> None:
        """End the commands of compose that are under way: what they make would be left."""
        state = str(self.state_folder)
        mine = [one for one in psutil.process_iter(["environ"]) if (one.info["environ"] or {}).get("STATE") == state]
        for process in mine:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(mine, SECONDS_TO_STOP)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _stop(self) -> None:
        if not self._is_ours:
            return
        self._is_ours = False
        end = ("stop",) if self._had_containers else ("down", "--remove-orphans")
        steps: list[Callable[[], object]] = [self._unpause_all, self._note_mounts]
        steps.append(lambda: self._compose(*end, "--timeout", f"{SECONDS_TO_STOP:.0f}", timeout=_SECONDS_TO_END))
        run_all(steps if self._had_containers else [*steps, self._remove_volumes])

    def _unpause_all(self) -> None:
        paused = [one.id for one in self._engine.containers_of(self._project) if one.state is MemberState.PAUSED]
        if paused:
            self._engine.docker("unpause", *paused)

    def _remove_volumes(self) -> None:
        """Remove the volumes that came with the project."""
        made = self._list_volumes(f"label={PROJECT_LABEL}={self._project}") | (self._list_volumes() & self._mounted)
        if made := made - self._volumes:
            self._engine.docker("volume", "rm", *sorted(made))

    def _repair(self) -> None:
        """Repair what was found: the others end in a moment."""
        if self._is_ours:
            self._broken.clear()
            self._scaled_from = None
        super()._repair()

    def _refuse_scale(self) -> str:
        services = self._services(Role.NODE)
        if len(services) != 1:
            return f"runtime.roles.node has {len(services)} services, and one can be scaled"
        return "" if self.runtime.files else "runtime.file is needed to scale a service"

    def _kill(self, name: str) -> None:
        self._engine.docker("kill", self._unpause(name).id)

    def _pause(self, name: str) -> None:
        self._engine.pause(self._container(name).id)

    def _resume(self, name: str) -> None:
        self._unpause(name)

    def _restart(self, name: str) -> None:
        container = self._unpause(name)
        timeout = f"{SECONDS_TO_STOP:.0f}"
        self._engine.docker("stop", "--time", timeout, container.id, timeout=_SECONDS_TO_END)
        self._engine.docker("start", container.id)

    def _scale(self, nodes: int) -> None:
        (service,) = self._services(Role.NODE)
        self._note_mounts()  # of containers that go now, too
        self._note()
        more = ("--no-deps", "--no-recreate", "--no-build", "--scale", f"{service}={nodes}", service)
        self._compose("up", "--detach", *more, timeout=self.runtime.start_timeout)
        if not holds_within(lambda: self.node_count == nodes, self.runtime.start_timeout, _POLL):
            raise ClusterError(f"{self._project} has {self.node_count} containers of {service}, not {nodes}")

    def _require_alive(self, *names: str) -> None:
        if names or self._is_ours:  # what was found running was started by somebody who has seen it
            super()._require_alive(*names)

    def _find_end(self, name: str) -> str:
        container = self._container(name)
        if container.has_exited:
            return "has ended"
        return f"was restarted {container.restarts} times" if container.restarts >= _RESTARTS else ""

    def _find_silence(self) -> str:
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        containers = self._engine.inspect(f"{PROJECT_LABEL}={self._project}")
        on_host = any(one["HostConfig"]["NetworkMode"] == "host" for one in containers)
        if parts.hostname not in _HERE or on_host:  # who listens there is not known
            return ""
        # What a container asks for counts, too: while the engine waits to restart it, it has no ports.
        given = [one[key][of] or {} for one in containers for key, of in _BINDINGS]
        ports = {way["HostPort"] for one in given for ways in one.values() for way in ways or ()}
        published = {int(one) for one in ports if one.isdecimal()}
        if port in published:
            return ""
        others = ", ".join(map(str, sorted(published)))
        return f"no container of {self._project} publishes port {port}; published: {others or 'none'}"

    def _is_ready(self, name: str) -> bool:
        container = self._container(name)
        if container.state is not MemberState.RUNNING:
            return False
        spec = self.runtime.members.get(container.service)
        if container.has_check and (spec is None or spec.ready is None):
            return container.healthy
        return super()._is_ready(name)

    def _own_name(self, name: str) -> str:
        return self._container(name).service

    @property
    def _project(self) -> str:
        return self.runtime.project or str(self._read_config()["name"])

    def _services(self, role: Role) -> tuple[str, ...]:
        services: tuple[str, ...] = getattr(self.runtime.roles, role.value)
        return services

    def _find_containers(self) -> dict[str, Container]:
        """Return the containers of the roles' services by the name of the member, also those that have ended."""
        containers = self._engine.containers_of(self._project)
        by_id = {one.id: one for one in containers}
        of_role = {
            role: [one.id for service in self._services(role) for one in containers if one.service == service]
            for role in Role
        }
        return {name: by_id[own] for name, own in name_members(of_role).items()}

    def _container(self, name: str) -> Container:
        found = self._find_containers()
        if name not in found:
            raise ClusterError(f"{self._project} has no container for {name}: it has {', '.join(found) or 'none'}")
        return found[name]

    def _unpause(self, name: str) -> Container:
        """Return a member after it is unpaused: the engine neither stops nor kills a paused one."""
        container = self._container(name)
        if container.state is MemberState.PAUSED:
            self._engine.docker("unpause", container.id)
        return container

    def _future_names(self, service: str) -> list[str]:
        """Return the names that a service's containers will have, as compose gives them."""
        described = self._read_config()["services"].get(service, {}) if self.runtime.files else {}
        if own := described.get("container_name"):
            return [str(own)]
        count = described.get("scale") or (described.get("deploy") or {}).get("replicas")
        return [f"{self._project}-{service}-{number}" for number in range(1, (1 if count is None else int(count)) + 1)]

    def _read_config(self) -> Mapping[str, Any]:
        """Return the compose file as compose reads it."""
        if self._config is None:
            self._config = json.loads(self._compose("config", "--format", "json", timeout=_SECONDS_TO_DESCRIBE))
        return self._config

    def _compose(self, *arguments: str, timeout: float) -> str:
        files = [word for one in self.runtime.files for word in ("-f", str(self.description.resolve(one)))]
        project = [] if self.runtime.project is None else ["-p", self.runtime.project]
        return self._engine.run(["docker", "compose", *files, *project, *arguments], timeout).decode()

    def _list_volumes(self, *filters: str) -> set[str]:
        chosen = [word for one in filters for word in ("--filter", one)]
        return set(self._engine.docker("volume", "ls", "--quiet", *chosen).split())

    def _note_mounts(self) -> None:
        """Note the volumes of the project's containers before they go: images declare anonymous ones."""
        for container in self._engine.inspect(f"{PROJECT_LABEL}={self._project}"):
            self._mounted |= {one["Name"] for one in container.get("Mounts") or () if one.get("Type") == "volume"}
