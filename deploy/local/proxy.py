"""The proxy of a local cluster: which nodes are in rotation, by which policy, and changing that while it runs."""

import getpass
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.certificate import make_certificate
from deploy.errors import ClusterError
from deploy.local.state import StateDir
from deploy.spec import ClusterSpec
from proxy import Balance, Nginx, NginxError, ProxySettings, ProxySettingsError, Server, ServerState, Tls, render

_POLL = 0.02


class Front:
    """An nginx, its configuration and the nodes in it. Raises ClusterError for all that nginx refuses.

    A change that fails leaves everything as it was.
    """

    def __init__(self, spec: ClusterSpec, nginx: Path | str | None) -> None:
        with _as_cluster_error():
            self._nginx = Nginx(nginx)
        self._spec = spec
        self.balance = spec.balance
        self.nodes: Mapping[str, Server] = {}
        self._port = 0
        self._state: StateDir | None = None
        self._tls: Tls | None = None
        self.authority: Path | None = None
        """The certificate of the authority that has to be trusted; None without TLS."""

    @property
    def nginx_version(self) -> str:
        """ "1.31.3"."""
        return ".".join(map(str, self._nginx.version))

    def command(self, port: int, state: StateDir) -> list[str]:
        """What to start so that it listens at `port`; the configuration is in place then. Changes before that only
        count, changes after it are followed by the nginx that runs."""
        self._port = port
        self._state = state
        if self._spec.tls and self._tls is None:
            made = make_certificate(state.tls)
            self._tls, self.authority = Tls(made.certificate, made.key), made.authority
        self._install(self.nodes, self.balance)
        return self._nginx.command(self._conf, state.proxy)

    def reset(self) -> None:
        """Back to no nodes and nothing running."""
        self.nodes, self.balance, self._state, self._tls, self.authority = {}, self._spec.balance, None, None, None

    def has_others(self, name: str) -> bool:
        """Whether any other node is in rotation."""
        return any(node.state is ServerState.UP for node in self.nodes.values() if node.name != name)

    def add(self, ports: Mapping[str, int]) -> None:
        """Put new nodes, by name, into rotation."""
        added = {name: Server(f"127.0.0.1:{port}", name) for name, port in ports.items()}
        self._change({**self.nodes, **added}, self.balance)

    def remove(self, names: list[str]) -> None:
        """Take nodes out for good; returns when nothing that went to them is still open, as `turn` does."""
        self._change({name: node for name, node in self.nodes.items() if name not in names}, self.balance)
        self._wait_finished()

    def turn(self, name: str, state: ServerState, port: int) -> None:
        """Change a node's state and address. If it leaves the rotation, returns when the requests that began before
        have ended, or after `drain_timeout` seconds."""
        changed = replace(self.nodes[name], state=state, address=f"127.0.0.1:{port}")
        self._change({**self.nodes, name: changed}, self.balance)
        if state is not ServerState.UP:
            self._wait_finished()

    def use(self, balance: Balance) -> None:
        """Choose nodes by this policy from now on."""
        self._change(self.nodes, balance)

    def _change(self, nodes: Mapping[str, Server], balance: Balance) -> None:
        if self._state is not None:
            self._install(nodes, balance)
            with _as_cluster_error():
                self._nginx.reload(self._conf)
        self.nodes, self.balance = nodes, balance

    def _wait_finished(self) -> None:
        deadline = time.monotonic() + self._spec.drain_timeout
        with _as_cluster_error():
            while self._nginx.finishing(self._conf) and time.monotonic() < deadline:
                time.sleep(_POLL)

    @property
    def _conf(self) -> Path:
        assert self._state is not None
        return self._state.proxy / "nginx.conf"

    def _install(self, nodes: Mapping[str, Server], balance: Balance) -> None:
        assert self._state is not None
        settings: dict[str, Any] = {
            "listen": f"127.0.0.1:{self._port}",
            "runtime_dir": self._state.proxy,
            "access_log": str(self._state.logs / "access.log"),
            "error_log": "stderr",
            # As root, nginx would have its workers be "nobody", who may not enter the state folder.
            "user": getpass.getuser() if os.geteuid() == 0 else None,
            "nginx_version": self._nginx.version,
            "session_cookie": self._spec.session_cookie,
            "tls": self._tls,
            **self._spec.proxy_settings,
        }
        with _as_cluster_error():
            text = render(ProxySettings(servers=tuple(nodes.values()), balance=balance, **settings))
            self._nginx.install(text, self._conf)


@contextmanager
def _as_cluster_error() -> Iterator[None]:
    try:
        yield
    except (NginxError, ProxySettingsError) as error:
        raise ClusterError(str(error)) from error
