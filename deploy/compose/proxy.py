"""nginx in containers: the names of the nodes, and the nodes in rotation while a cluster runs."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from deploy.cluster import MemberState
from deploy.compose.docker import Engine, Project
from deploy.compose.services import NODE_PORT
from deploy.spec import ClusterError, ClusterSpec, Discovery
from deploy.waiting import holds_within, wait_until
from proxy import Balance, ProxySettingsError, UpstreamServer, render
from proxy.containers import RUNTIME_DIR, container_settings

TLS_PORT = 8443
ALL_NODES = UpstreamServer(f"node:{NODE_PORT}", resolve=True)
"""Docker's DNS answers with the address of each node; nginx asks it again and again."""
EXPRESS = UpstreamServer(f"express:{NODE_PORT}", resolve=True)
"""The Express application that may share the nodes' sessions. Its name is unknown where it does not run."""
_CONF = PurePosixPath("/cluster/proxy/nginx.conf")
_SECONDS_TO_RELOAD = 10.0


class ContainerNginx:
    """The nginx that runs in a container, with a configuration that can change. Every method raises ClusterError."""

    def __init__(self, engine: Engine, container: str, conf: PurePosixPath) -> None:
        self._engine, self._container, self._conf = engine, container, conf

    def test(self) -> None:
        """Raise ClusterError with nginx's message if it refuses the file."""
        words = ("nginx", "-t", "-q", "-p", f"{RUNTIME_DIR}/", "-e", "stderr", "-c", str(self._conf))
        try:
            self._engine.docker("exec", self._container, *words)
        except ClusterError as error:
            raise ClusterError(f"nginx refuses the configuration: {error}") from error

    def reload(self) -> None:
        """Block until new workers accept all connections."""
        before = set(self.workers())
        self._engine.docker("kill", "--signal", "HUP", self._container)

        def reloaded() -> bool:
            serving = {pid for pid, finishing in self.workers().items() if not finishing}
            return bool(serving) and not serving & before

        message = f"the proxy did not reload (see `docker logs {self._container}`)"
        wait_until(reloaded, _SECONDS_TO_RELOAD, message)

    def workers(self) -> dict[int, bool]:
        """Return pid -> True if the worker is shutting down."""
        lines = self._engine.docker("top", self._container, "-o", "pid,args").splitlines()[1:]
        split = (line.split(maxsplit=1) for line in lines)
        return {int(pid): "shutting down" in title for pid, title in split if title.startswith("nginx: worker")}


class ComposeProxy:
    """The proxy of a running cluster: a list of the nodes' addresses, renewed with each change.

    compose.yaml alone lets nginx ask Docker's DNS, which needs no list. But when the answer changes, nginx fails
    requests that are being tried at a second node: readers got 502 after one of three kills of a node under load. An
    experiment would count this fault of the engine as one of the cluster.
    """

    def __init__(self, project: Project, spec: ClusterSpec) -> None:
        self._project = project
        self._spec = spec
        self._finds_nodes = spec.discovery is Discovery.DNS
        self._installed: str | None = None
        self._generation = 0

    def install(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None:
        nginx = self._nginx()
        self._generation += 1
        # Load tests read which node was tried.
        changes = {
            "generation": self._generation,
            "expose_internals": True,
            "balance": policy,
            "session_cookie": self._spec.session_cookie,
            **self._spec.proxy_settings,
        }
        try:
            text = render(container_settings((ALL_NODES,) if self._finds_nodes else nodes, **changes))
        except ProxySettingsError as error:
            raise ClusterError(str(error)) from error
        self._write(text)
        try:
            nginx.test()
        except ClusterError:
            self._write(self._installed or text)
            raise
        self._installed = text
        nginx.reload()

    def wait_finished(self) -> None:
        holds_within(lambda: not any(self._nginx().workers().values()), self._spec.drain_timeout)

    def _write(self, text: str) -> None:
        # `setup` is the only container that may write there. It has ended, but the engine can still write to it.
        for setup in self._project.containers("setup"):
            self._project.write(setup.id, _CONF, text)

    def _nginx(self) -> ContainerNginx:
        for proxy in self._project.containers("proxy"):
            if proxy.state is MemberState.RUNNING:
                return ContainerNginx(self._project, proxy.name, _CONF)
        raise ClusterError("the proxy does not run, so it cannot be changed: restart it first")
