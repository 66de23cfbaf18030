"""The store of a local cluster: which servers it is made of, and what can be done to it as a whole."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deploy import acl, store_server
from deploy.cluster import Role
from deploy.errors import ClusterError
from deploy.link import ProxyLink
from deploy.ports import free_ports
from deploy.servers import Server, environment
from deploy.spec import ClusterSpec
from deploy.state import StateDir
from deploy.store_server import StoreServer, StoreStatistics


class LocalStore(Protocol):
    """Servers of one store. Every method may raise ClusterError."""

    @property
    def stages(self) -> Sequence[Sequence[Server]]:
        """Its servers, those of each stage to be started when those before are ready."""

    def begin(self) -> None:
        """What is to be done once when all of them are ready."""

    def node_environment(self) -> Mapping[str, str]:
        """What the nodes are told, once all have their ports."""

    def primary(self) -> str:
        """The name of the server that takes the writes."""

    def fail_over(self) -> None:
        """As planned, to a replica; returns when all agree."""

    def is_settled(self) -> bool:
        """Whether its servers agree on who is who."""

    def before_restart(self, server: Server) -> None:
        """To be called before one of its servers is stopped, if it runs, and started again."""

    def statistics(self) -> StoreStatistics:
        """What those who take the writes have done so far, all together."""


class LoneStore:
    """One server, which nothing stands in for."""

    def __init__(self, binary: StoreServer, spec: ClusterSpec, state: StateDir, rights: acl.Rights) -> None:
        self._state = state
        self._spec = spec
        self.link: ProxyLink | None = None
        """What stands between the nodes and the store; None where nothing does."""
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

    def begin(self) -> None:
        if self._spec.store_link:
            self.link = ProxyLink.to(self._server.port)

    @property
    def url(self) -> str:
        """Of the server, past any link, as the nodes' user."""
        return store_server.url(self._password, self._server.port)

    def close(self) -> None:
        """To be called when the nodes and the server have ended."""
        if self.link is not None:
            self.link.close()

    def node_environment(self) -> Mapping[str, str]:
        url = self.url if self.link is None else store_server.url(self._password, self.link.port)
        return {"REDIS_URL_FILE": str(url_file(self._state, url))}

    def primary(self) -> str:
        return self._server.name

    def fail_over(self) -> None:
        raise ClusterError(f"the store has no replica that could take over: it is {self._spec.store}, alone")

    def is_settled(self) -> bool:
        return True

    def before_restart(self, server: Server) -> None:
        pass

    def statistics(self) -> StoreStatistics:
        return store_server.statistics(store_server.observer(self._observer_password, self._server.port))


def url_file(state: StateDir, url: str) -> Path:
    """A file of the nodes' with the URL of the store, password and all."""
    path = state.secrets / "store-url"
    if not path.exists() or path.read_text(encoding="utf-8") != url:
        path.unlink(missing_ok=True)
        state.secret(path.name, url)
    return path
