"""The proxy of a cluster in containers, while it runs: who is in rotation, by which policy."""

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

from deploy.compose.docker import Container, Project
from deploy.compose.members import node_name
from deploy.container_proxy import ALL_NODES, NODE_PORT, RUNTIME, container_settings
from deploy.errors import ClusterError
from deploy.spec import ClusterSpec, Discovery
from proxy import Balance, ProxySettingsError, Server, ServerState, render

_CONF = PurePosixPath("/cluster/proxy/nginx.conf")
_POLL = 0.05
_SECONDS_TO_RELOAD = 10.0


class ContainerFront:
    """nginx with a list of the nodes' addresses, renewed with each change.

    compose.yaml itself has nginx ask Docker's DNS, which needs nobody who keeps a list. But where the answer changes,
    nginx fails the requests that are just being tried at a second node (502 for readers after one of three kills of a
    node under load), and that would be the engine's doing, not the cluster's.
    """

    def __init__(self, project: Project, spec: ClusterSpec) -> None:
        self._project = project
        self._spec = spec
        self.balance = spec.balance
        self.states: dict[str, ServerState] = {}
        """Of the nodes, by name, that are not simply in rotation."""
        self._installed: str | None = None

    def use(self, balance: Balance) -> None:
        """Choose nodes by this policy from now on."""
        before, self.balance = self.balance, balance
        try:
            self.apply()
        except ClusterError:
            self.balance = before
            raise

    def require_running(self) -> None:
        """Raises ClusterError where the proxy could not be told of a change."""
        self._proxy()

    def apply(self, without: Sequence[str] = ()) -> None:
        """Have the proxy know the nodes that run now and their states, but not those named in `without`."""
        proxy = self._proxy()
        text = self._text(without)
        self._install(text)
        try:
            test = ("nginx", "-t", "-q", "-p", f"{RUNTIME}/", "-e", "stderr", "-c", str(_CONF))
            self._project.docker("exec", proxy.id, *test)
        except ClusterError as error:
            self._install(self._installed or text)
            raise ClusterError(f"nginx refuses the configuration: {error}") from error
        self._installed = text
        self._reload(proxy)

    def wait_finished(self) -> None:
        """Return when the requests that began before the last change have ended, or after `drain_timeout`."""
        deadline = time.monotonic() + self._spec.drain_timeout
        while any(self._workers().values()) and time.monotonic() < deadline:
            time.sleep(_POLL)

    def _text(self, without: Sequence[str]) -> str:
        changes = {
            "balance": self.balance,
            "session_cookie": self._spec.session_cookie,
            **self._spec.proxy_settings,
        }
        try:
            return render(container_settings(self._servers(without), **changes))
        except ProxySettingsError as error:
            raise ClusterError(str(error)) from error

    def _servers(self, without: Sequence[str]) -> Sequence[Server]:
        if self._spec.discovery is Discovery.DNS:
            if without or self.states:
                raise ClusterError("a node that the proxy finds by DNS can't be taken out of rotation")
            return (ALL_NODES,)
        nodes = [node for node in self._project.containers("node") if "app" in node.addresses]
        return [
            Server(f"{node.addresses['app']}:{NODE_PORT}", name, self.states.get(name, ServerState.UP))
            for node in nodes
            if (name := node_name(node)) not in without
        ]

    def _install(self, text: str) -> None:
        # In the only container that may write there; it has ended, which the engine does not mind.
        for setup in self._project.containers("setup"):
            self._project.write(setup, _CONF, text)

    def _reload(self, proxy: Container) -> None:
        before = set(self._workers())
        self._project.docker("kill", "--signal", "HUP", proxy.id)
        deadline = time.monotonic() + _SECONDS_TO_RELOAD
        while time.monotonic() < deadline:
            serving = {pid for pid, finishing in self._workers().items() if not finishing}
            if serving and not serving & before:
                return
            time.sleep(_POLL)
        raise ClusterError(f"the proxy did not reload within {_SECONDS_TO_RELOAD:g} s: see `docker logs {proxy.name}`")

    def _proxy(self) -> Container:
        for proxy in self._project.containers("proxy"):
            if proxy.state == "running":
                return proxy
        raise ClusterError("the proxy does not run, so it cannot be told of a change: restart it first")

    def _workers(self) -> dict[int, bool]:
        """pid -> whether it only finishes its last requests."""
        lines = self._project.docker("top", self._proxy().id, "-o", "pid,args").splitlines()[1:]
        split = (line.split(maxsplit=1) for line in lines)
        return {int(pid): "shutting down" in title for pid, title in split if title.startswith("nginx: worker")}
