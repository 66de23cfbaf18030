"""What a local cluster is made of: how its nodes and its store are started, and the secrets they share."""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

import nodes
from deploy.application import NodeApplication
from deploy.cluster import Role
from deploy.errors import ClusterError
from deploy.local.proxy import Front
from deploy.local.redis_server import StoreServer
from deploy.local.servers import Server, environment, http_ok
from deploy.local.state import StateDir
from deploy.local_redis_cluster import ShardedStore
from deploy.local_sentinel import SentinelStore
from deploy.local_store import LocalStore, StandaloneStore
from deploy.ports import free_ports
from deploy.redis import acl
from deploy.spec import ClusterSpec, StoreKind
from nodes.accounts import UsersError, create_users

_GUNICORN_CONF = Path(nodes.__file__).with_name("gunicorn.conf.py")


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
        self._application = application
        self.store: LocalStore | None = (
            None if store_binary is None else store_of(store_binary, spec, state, application)
        )
        """None where sessions are in memory or in files."""
        self._changed: Mapping[str, str] = {}
        users_file = state.secrets / "users.json"
        try:
            self.users: Mapping[str, str] = create_users(users_file, spec.users, secrets.token_urlsafe(15))
        except UsersError as error:
            raise ClusterError(str(error)) from error
        self._node_environment = {
            "NODE_WORKERS": str(spec.workers),
            "SESSION_STORE": str(StoreKind.REDIS if spec.store.has_several_servers else spec.store),
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

    def configure(self, settings: Mapping[str, str]) -> None:
        """Nodes that start from now on get these variables, over those of the spec."""
        self._changed = dict(settings)

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
            if self.store is not None:
                variables |= self._spec.store_settings.node_environment(self._spec.store.has_several_servers)
                variables |= self.store.node_environment()
            return environment({**variables, **self._spec.node_settings, **self._changed})

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


def store_of(
    binary: StoreServer, spec: ClusterSpec, state: StateDir, application: NodeApplication | None = None
) -> LocalStore:
    """The servers of the store that `spec` asks for, which let in the nodes: ours, or those of `application`."""
    express = spec.store is StoreKind.EXPRESS
    rights, at_sentinels = acl.SHARED_WITH_EXPRESS if express else acl.SESSIONS, acl.PRIMARY
    if application is not None:
        rights, at_sentinels = application.rights, application.rights_at_sentinels
    if spec.store is StoreKind.REDIS_HA:
        return SentinelStore(binary, spec, state, rights, at_sentinels)
    if spec.store is StoreKind.REDIS_CLUSTER:
        return ShardedStore(binary, spec, state, rights)
    return StandaloneStore(binary, spec, state, rights)
