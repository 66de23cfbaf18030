"""The store of a local cluster: which servers it is made of, and what can be done to it as a whole."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.cluster import Role, StoreStatistics
from deploy.errors import ClusterError
from deploy.fault_proxy import FaultProxy
from deploy.local import redis_server as store_server
from deploy.local.redis_server import StoreServer
from deploy.local.servers import Server, environment
from deploy.local.state import StateDir
from deploy.ports import free_ports
from deploy.redis import acl
from deploy.spec import ClusterSpec, StoreKind


class LocalStore:
    """A `deploy.StoreControl`; what this store does not have raises ClusterError.

    `stages` are its servers: those of a stage are started when those before are ready.
    """

    stages: Sequence[Sequence[Server]] = ()

    def __init__(self, kind: StoreKind) -> None:
        self._kind = kind

    @property
    def url(self) -> str:
        raise ClusterError("the store has several servers, and no address of its own")

    @property
    def proxy(self) -> FaultProxy:
        raise ClusterError("the cluster has no proxy to its store: set store_proxy in its spec")

    def bootstrap(self) -> None:
        """Finish the start once all servers are ready."""

    def node_environment(self) -> Mapping[str, str]:
        """Return the variables that tell the nodes where the store is, once all servers have their ports."""
        raise NotImplementedError

    def primary(self) -> str:
        raise NotImplementedError

    def failover(self) -> None:
        raise ClusterError(f"the store has no replica that could take over: it is {self._kind}, alone")

    def disconnect_replicas(self) -> None:
        raise ClusterError(f"the store has no replicas that could be disconnected: it is {self._kind}")

    def reconnect_replicas(self) -> None:
        self.disconnect_replicas()

    def is_settled(self) -> bool:
        """Whether its servers agree on their roles."""
        return True

    def before_restart(self, server: Server) -> None:
        """Promote another server if this one is a primary."""

    def statistics(self) -> StoreStatistics:
        raise NotImplementedError

    def close(self) -> None:
        """End what is not a server, when the nodes and the servers have ended."""


class StandaloneStore(LocalStore):
    """One server, which nothing replaces."""

    def __init__(self, binary: StoreServer, spec: ClusterSpec, state: StateDir, rights: acl.Rights) -> None:
        super().__init__(spec.store)
        self._state = state
        self._spec = spec
        self._proxy: FaultProxy | None = None
        self._password, self._observer_password = secrets.token_hex(32), secrets.token_hex(32)
        users = binary.acl_file(self._password, rights) + binary.observer_line(self._observer_password)
        acl_path = state.secret("users.acl", users)
        options = binary.options(spec.store_settings)
        folder = state.server_folder("store")
        self._server = Server(
            "store",
            Role.STORE,
            free_ports(1)[0],
            state.logs / "store.log",
            lambda port: binary.command(port, acl_path, folder, options),
            lambda _: environment({}),
            lambda port: store_server.answers(store_server.url(self._password, port)),
        )
        self.stages = [[self._server]]

    def bootstrap(self) -> None:
        if self._spec.store_proxy:
            self._proxy = FaultProxy.to(self._server.port)

    @property
    def url(self) -> str:
        return store_server.url(self._password, self._server.port)

    @property
    def proxy(self) -> FaultProxy:
        return self._proxy or super().proxy

    def close(self) -> None:
        if self._proxy is not None:
            self._proxy.close()

    def node_environment(self) -> Mapping[str, str]:
        url = self.url if self._proxy is None else store_server.url(self._password, self._proxy.port)
        return {"REDIS_URL_FILE": str(url_file(self._state, url))}

    def primary(self) -> str:
        return self._server.name

    def statistics(self) -> StoreStatistics:
        return store_server.statistics(store_server.observer(self._observer_password, self._server.port))


def url_file(state: StateDir, url: str) -> Path:
    """A file of the nodes' with the URL of the store, password and all."""
    path = state.secrets / "store-url"
    if not path.exists() or path.read_text(encoding="utf-8") != url:
        path.unlink(missing_ok=True)
        state.secret(path.name, url)
    return path
