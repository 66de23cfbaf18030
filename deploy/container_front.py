"""The proxy of a cluster in containers, while it runs: who is in rotation, by which policy."""

import time
from collections.abc import Sequence

from deploy.container_members import node_name
from deploy.container_proxy import ALL_NODES, NODE_PORT, RUNTIME, container_settings
from deploy.engine import Container, Project
from deploy.errors import ClusterError
from deploy.spec import ClusterSpec
from proxy import Balance, ProxySettings, ProxySettingsError, Server, ServerState, render

CONF = "/cluster/proxy/nginx.conf"
_POLL = 0.05
_SECONDS_TO_RELOAD = 10.0
_HOSTS = ("127.0.0.1", "localhost", "proxy")


class ContainerFront:
    """Normally nginx asks Docker's DNS for all nodes; while some are out of rotation it has a list of addresses.

    The servers of such a list have no names: the route in the sticky cookie is then nginx's own, which is the same for
    an address in the list and an address from the DNS, so that clients stay where they are.
    """

    def __init__(self, project: Project, spec: ClusterSpec) -> None:
        self._project = project
        self._spec = spec
        self.balance = spec.balance
        self.states: dict[str, ServerState] = {}
        """Of the nodes, by name, that are not simply in rotation."""
        self._has_list = False

    def use(self, balance: Balance) -> None:
        """Choose nodes by this policy from now on."""
        before, self.balance = self.balance, balance
        try:
            self.apply()
        except ClusterError:
            self.balance = before
            raise

    def apply(self, without: Sequence[str] = (), as_list: bool = False) -> None:
        """Have the proxy know the nodes that there are and their states, and not those named in `without`; with
        `as_list`, none that come later either."""
        if not (self.states or without or as_list):
            if self._has_list:
                # Until the first answer of the DNS, some milliseconds, nginx would have no servers (502 in 3 of 12
                # reloads under load). So it gets the name beside the list first; the reload after that, long after
                # the answer, takes over what the name meant.
                self._reload((*self._listed(()), ALL_NODES))
            self._reload((ALL_NODES,))
            self._has_list = False
        else:
            self._reload(self._listed(without))
            self._has_list = True

    def wait_finished(self) -> None:
        """Return when the requests that began before the last change have ended, or after `drain_timeout`."""
        deadline = time.monotonic() + self._spec.drain_timeout
        while any(self._workers().values()) and time.monotonic() < deadline:
            time.sleep(_POLL)

    def _listed(self, without: Sequence[str]) -> tuple[Server, ...]:
        nodes = [node for node in self._project.containers("node") if "app" in node.addresses]
        return tuple(
            Server(f"{node.addresses['app']}:{NODE_PORT}", state=self.states.get(node_name(node), ServerState.UP))
            for node in nodes
            if node_name(node) not in without
        )

    def _settings(self, servers: Sequence[Server]) -> ProxySettings:
        changes = {
            "balance": self.balance,
            "hosts": _HOSTS,
            "session_cookie": self._spec.session_cookie,
            **self._spec.proxy,
        }
        return container_settings(servers, **changes)

    def _reload(self, servers: Sequence[Server]) -> None:
        try:
            text = render(self._settings(servers))
        except ProxySettingsError as error:
            raise ClusterError(str(error)) from error
        proxy = self._proxy()
        draft = "/volume/nginx.conf.new"
        self._project.in_volume("proxy-config", f"cat >{draft}", text)
        try:
            # Mounted elsewhere there.
            arguments = ("-p", f"{RUNTIME}/", "-e", "stderr", "-t", "-q", "-c", f"{CONF}.new")
            self._project.docker("exec", proxy.id, "nginx", *arguments)
        except ClusterError as error:
            raise ClusterError(f"nginx refuses the configuration: {error}") from error
        self._project.in_volume("proxy-config", f"mv {draft} /volume/nginx.conf")
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
