"""What a local cluster is made of: how its nodes and its store are started, and the secrets they share."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

import nodes
from deploy import acl, store_server
from deploy.application import NodeApplication
from deploy.cluster import Role
from deploy.errors import ClusterError
from deploy.front import Front
from deploy.ports import free_ports
from deploy.servers import Server, http_ok
from deploy.spec import ClusterSpec, StoreKind
from deploy.state import StateDir
from deploy.store_server import StoreServer, StoreStatistics
from nodes.accounts import UsersError, create_users

_GUNICORN_CONF = Path(nodes.__file__).with_name("gunicorn.conf.py")
_ROOT = Path(nodes.__file__).parent.parent
# Nothing else of this process's environment reaches the servers: it might hold settings of another cluster.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class LocalServers:
    """Makes the secrets of one cluster when it is made itself, and then its servers. Starts nothing."""

    def __init__(
        self,
        spec: ClusterSpec,
        state: StateDir,
        store_binary: StoreServer | None,
        application: NodeApplication | None = None,
    ) -> None:
        self._spec = spec
        self._state = state
        self._store_binary = store_binary
        self._application = application
        self._store_password, self._observer_password = secrets.token_hex(32), secrets.token_hex(32)
        self._store: Server | None = None
        users_file = state.secrets / "users.json"
        try:
            self.users: Mapping[str, str] = create_users(users_file, spec.users, secrets.token_urlsafe(15))
        except UsersError as error:
            raise ClusterError(str(error)) from error
        self._node_environment = {
            "NODE_WORKERS": str(spec.workers),
            "SESSION_STORE": str(spec.store),
            "SESSION_SECRETS_FILE": str(state.secret("session-secrets", secrets.token_hex(32) + "\n")),
            "TRUSTED_PROXIES": "1",
            **self._users_environment(users_file),
            **self._store_environment(),
        }

    def _users_environment(self, users_file: Path) -> dict[str, str]:
        """Our nodes are told hashes, and see by themselves whether TLS is spoken; others are told it all."""
        if self._application is None:
            return {"USERS_FILE": str(users_file)}
        passwords = msgspec.json.encode({"users": self.users}).decode()
        told = {"CLUSTER_USERS_FILE": str(self._state.secret("passwords.json", passwords))}
        return {**told, "SESSION_SECURE": "on"} if self._spec.tls else told

    def _store_environment(self) -> dict[str, str]:
        """For stores without a server of their own: where their files are. They go with the cluster's secrets."""
        if self._spec.store is StoreKind.FILE:
            return {"SESSION_FOLDER": str(self._state.data / "sessions")}
        if self._spec.store is StoreKind.SQL:
            database = (self._state.data / "sessions.db").resolve()
            return {"DATABASE_URL": f"sqlite:///{database}", "DATABASE_CREATE_SCHEMA": "on"}
        return {}

    def proxy(self, front: Front) -> Server:
        """The proxy's server, at the port that was asked for or a free one."""
        return Server(
            "proxy",
            Role.PROXY,
            self._spec.port or free_ports(1)[0],
            self._state.logs / "proxy.log",
            lambda port: front.command(port, self._state),
            lambda _: environment({}),
            lambda port: http_ok(port, "/proxy/health", front.authority),
            port_is_given=bool(self._spec.port),
        )

    def store(self) -> Server | None:
        """The store's server; None where it is in memory or in files."""
        if self._store_binary is None:
            return None
        binary = self._store_binary
        users = binary.acl_file(self._store_password, self._rights()) + binary.observer_line(self._observer_password)
        acl_path = self._state.secret("users.acl", users)
        self._store = Server(
            "store",
            Role.STORE,
            free_ports(1)[0],
            self._state.logs / "store.log",
            lambda port: binary.command(port, acl_path, self._state.path),
            lambda _: environment({}),
            lambda port: store_server.answers(store_server.url(self._store_password, port)),
        )
        return self._store

    def _rights(self) -> acl.Rights:
        if self._application is not None:
            return self._application.rights
        return acl.SHARED_WITH_EXPRESS if self._spec.store is StoreKind.EXPRESS else acl.SESSIONS

    def store_statistics(self) -> StoreStatistics | None:
        """See `LocalCluster.store_statistics`."""
        if self._store is None:
            return None
        return store_server.statistics(store_server.url(self._observer_password, self._store.port, acl.OBSERVER))

    def nodes(self, names: list[str]) -> list[Server]:
        """A server for each name, which will use the store that was made before."""
        return [self._node(name, port) for name, port in zip(names, free_ports(len(names)), strict=True)]

    def _node(self, name: str, port: int) -> Server:
        application = self._application

        def settings(port: int) -> Mapping[str, str]:
            variables = {
                **self._node_environment,
                "NODE_NAME": name,
                "NODE_BIND": f"127.0.0.1:{port}",
                "PROMETHEUS_MULTIPROC_DIR": str(self._state.metrics / name),
            }
            if application is not None:
                variables |= {"HOST": "127.0.0.1", "PORT": str(port), **application.environment}
            if self._store is not None:
                variables["REDIS_URL_FILE"] = str(self._url_file(self._store.port))
            return environment({**variables, **self._spec.node_settings})

        ours = [sys.executable, "-m", "gunicorn", "-c", str(_GUNICORN_CONF), "nodes.app:from_environ()"]
        return Server(
            name,
            Role.NODE,
            port,
            self._state.logs / f"{name}.log",
            lambda _: list(application.command) if application else ours,
            settings,
            lambda port: http_ok(port, "/ready"),
        )

    def _url_file(self, port: int) -> Path:
        path = self._state.secrets / f"store-url-{port}"
        if not path.exists():
            self._state.secret(path.name, store_server.url(self._store_password, port))
        return path


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a server gets: the basics of this process's environment, and these variables."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONPATH": str(_ROOT), **variables}
