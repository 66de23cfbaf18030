"""The nginx of a local cluster."""

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.certificate import make_certificate
from deploy.cluster import Role
from deploy.local.servers import Server
from deploy.local.state import StateDir
from deploy.ports import free_ports
from deploy.spec import ClusterError, ClusterSpec
from deploy.waiting import holds_within, http_ok
from proxy import Balance, Nginx, NginxError, ProxySettings, ProxySettingsError, Tls, UpstreamServer, render


class LocalProxy:
    """The proxy of a local cluster. Raises ClusterError if nginx refuses a change, which then has no effect."""

    def __init__(self, spec: ClusterSpec, nginx: Path | str | None) -> None:
        with _as_cluster_error():
            self._nginx = Nginx(nginx)
        self._spec = spec
        self._nodes: Sequence[UpstreamServer] = ()
        self._policy = spec.balance
        self._port = 0
        self._generation = 0
        self._state: StateDir | None = None
        self._tls: Tls | None = None
        self.authority: Path | None = None
        """The certificate of the authority that clients have to trust; None without TLS."""

    @property
    def version(self) -> str:
        """ "1.31.3"."""
        return ".".join(map(str, self._nginx.version))

    def make_server(self, state: StateDir) -> Server:
        """Return nginx as a server, at the port of the spec or a free one."""
        return Server(
            "proxy",
            Role.PROXY,
            self._spec.port or free_ports(1)[0],
            state.logs / "proxy.log",
            lambda port: self._command(port, state),
            lambda port: http_ok(port, "/proxy/health", self.authority),
            port_is_fixed=bool(self._spec.port),
        )

    def clear(self) -> None:
        """Forget its state; call it while the proxy does not run."""
        self._state, self._tls, self.authority = None, None, None

    def install(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None:
        """Send requests to these nodes: at once, or when the proxy starts."""
        if self._state is not None:
            self._write(nodes, policy)
            with _as_cluster_error():
                self._nginx.reload(self._conf)
        self._nodes, self._policy = nodes, policy

    def wait_finished(self) -> None:
        with _as_cluster_error():
            holds_within(lambda: not self._nginx.finishing(self._conf), self._spec.drain_timeout)

    def _command(self, port: int, state: StateDir) -> list[str]:
        self._port, self._state = port, state
        if self._spec.tls and self._tls is None:
            made = make_certificate(state.tls)
            self._tls, self.authority = Tls(made.certificate, made.key), made.authority
        self._write(self._nodes, self._policy)
        return self._nginx.command(self._conf, state.proxy)

    @property
    def _conf(self) -> Path:
        assert self._state is not None
        return self._state.proxy / "nginx.conf"

    def _write(self, nodes: Sequence[UpstreamServer], policy: Balance) -> None:
        assert self._state is not None
        self._generation += 1
        settings: dict[str, Any] = {
            "listen": f"127.0.0.1:{self._port}",
            "runtime_dir": self._state.proxy,
            "access_log": str(self._state.logs / "access.log"),
            "error_log": "stderr",
            # As root, nginx would run its workers as the user `nobody`, which may not enter the state folder.
            "user": getpass.getuser() if os.geteuid() == 0 else None,
            "nginx_version": self._nginx.version,
            "session_cookie": self._spec.session_cookie,
            "tls": self._tls,
            "generation": self._generation,
            "expose_internals": True,  # it listens on 127.0.0.1 alone, and load tests read which node was tried
            **self._spec.proxy_settings,
        }
        with _as_cluster_error():
            text = render(ProxySettings(servers=tuple(nodes), balance=policy, **settings))
            self._nginx.install(text, self._conf)


@contextmanager
def _as_cluster_error() -> Iterator[None]:
    try:
        yield
    except (NginxError, ProxySettingsError) as error:
        raise ClusterError(str(error)) from error
