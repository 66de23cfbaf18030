"""The Redis and the proxies of a cluster on Swarm, for those who control them."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from deploy.cluster import MemberState
from deploy.compose.proxy import ContainerNginx
from deploy.compose.redis_servers import ASK
from deploy.compose.services import REDIS_PORT
from deploy.redis import acl
from deploy.spec import ClusterError, ClusterSpec, Discovery
from deploy.swarm.machines import Machines
from deploy.swarm.override import CONF, SOCKET, render_proxy, socket_folder
from deploy.swarm.tasks import TaskContainer, require
from deploy.waiting import holds_within
from proxy import Balance, UpstreamServer

_INSTALL = f"cat > {CONF}.new && mv {CONF}.new {CONF}"

_SECONDS_KEPT = 3.0
"""A connection that the load balancer in front keeps may bring one more request to a worker with the configuration from
before: for 2 s, the proxies' keepalive_min_timeout."""

Find = Callable[[], Mapping[str, TaskContainer | None]]


class SwarmRedis:
    """The Redis of a stack: `deploy.redis.control.RedisServers`. `find` returns the containers of the members."""

    sentinels: Mapping[str, str] = {}
    stores: Mapping[str, str] = {"store": f"redis:{REDIS_PORT}"}

    def __init__(self, machines: Machines, folder: Path, find: Find) -> None:
        self._machines, self._folder, self._find = machines, folder, find

    @cached_property
    def passwords(self) -> acl.Passwords:
        return acl.Passwords(**json.loads((self._folder / "operator" / "passwords.json").read_text(encoding="utf-8")))

    def url(self) -> str:
        """The URL of the server's socket, since its address is in a network of the machines."""
        password = (self._folder / "store" / "password").read_text(encoding="utf-8")
        return f"unix://{acl.NODE}:{quote(password, safe='')}@{socket_folder(self._machines) / SOCKET}"

    def running(self) -> frozenset[str]:
        store = self._find()["store"]
        return frozenset({"store"} if store is not None and store.state is MemberState.RUNNING else ())

    def kill(self, member: str) -> None:
        container = require(member, self._find()[member])
        self._machines.engine(container.machine).docker("kill", container.id)

    def ask(self, member: str, *command: str, secret: str = "") -> str:
        container = require(member, self._find()[member])
        options = ["-x"] if secret else []  # the last argument is stdin
        script = ASK.format(folder="store", port=REDIS_PORT)
        words = ("exec", "--interactive", container.id, "sh", "-c", script, acl.OPERATOR, *options, *command)
        return self._machines.engine(container.machine).docker(*words, timeout=5.0, stdin=secret)


class SwarmProxy:
    """The proxies of a stack: `deploy.base.Proxy`. By `Discovery.LIST` they get the nodes that are in rotation."""

    def __init__(self, machines: Machines, spec: ClusterSpec, find: Find) -> None:
        self._machines, self._spec, self._find = machines, spec, find
        self._installed: str = render_proxy(spec)

    def install(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None:
        listed = () if self._spec.discovery is Discovery.DNS else tuple(nodes)
        text = render_proxy(self._spec, listed, policy)
        before, self._installed = self._installed, text
        changed: list[TaskContainer] = []
        try:
            for container in self.running():
                changed.append(container)
                self.install_in(container)
        except ClusterError:
            self._installed = before
            for container in changed:
                with suppress(ClusterError):  # the first error is the reason
                    self.install_in(container)
            raise
        self._wait_finished(_SECONDS_KEPT)

    def install_in(self, container: TaskContainer) -> None:
        """Give the present configuration to one proxy."""
        engine = self._machines.engine(container.machine)
        nginx = ContainerNginx(engine, container.id, PurePosixPath(CONF))
        old = engine.docker("exec", container.id, "cat", CONF)
        if old == self._installed:
            return
        self._write(container, self._installed)
        try:
            nginx.test()
        except ClusterError:
            self._write(container, old)
            raise
        nginx.reload()

    def wait_finished(self) -> None:
        self._wait_finished(self._spec.drain_timeout)

    def _wait_finished(self, timeout: float) -> None:
        def finished() -> bool:
            return not any(any(self._nginx(one).workers().values()) for one in self.running())

        holds_within(finished, timeout)

    def running(self) -> list[TaskContainer]:
        """Return the proxies that run."""
        return [
            one
            for name, one in self._find().items()
            if name.startswith("proxy") and one is not None and one.state is MemberState.RUNNING
        ]

    def _nginx(self, container: TaskContainer) -> ContainerNginx:
        return ContainerNginx(self._machines.engine(container.machine), container.id, PurePosixPath(CONF))

    def _write(self, container: TaskContainer, text: str) -> None:
        words = ("exec", "--interactive", container.id, "sh", "-euc", _INSTALL)
        self._machines.engine(container.machine).docker(*words, stdin=text)
