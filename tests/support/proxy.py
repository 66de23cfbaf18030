"""A real nginx with a rendered configuration, and the requests that tests send it."""

import getpass
import http.client
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.certificate import Certificate
from deploy.waiting import http_ok
from proxy import Nginx, ProxySettings, Tls, UpstreamServer, render
from tests.support.http_client import Answer, send
from tests.support.servers import RunningServer
from tests.support.waiting import wait_until


class RunningProxy(RunningServer):
    """nginx in front of `servers` in its own folder. `overrides` are ProxySettings."""

    def __init__(self, folder: Path, servers: tuple[UpstreamServer, ...], overrides: Mapping[str, Any]) -> None:
        super().__init__(folder / "stderr.log")
        self.nginx = Nginx()
        self.folder = folder
        self.conf = folder / "nginx.conf"
        self.settings = ProxySettings(
            servers=servers,
            runtime_dir=folder,
            listen=f"127.0.0.1:{self.port}",
            nginx_version=self.nginx.version,
            # As root, nginx would give its workers to `nobody`, who cannot enter pytest's folders.
            user=getpass.getuser() if os.geteuid() == 0 else None,
            **{"worker_processes": 2, "expose_internals": True, **overrides},
        )

    def start(self) -> subprocess.Popen[bytes]:
        self.nginx.install(render(self.settings), self.conf)
        with self.log.open("wb") as stderr:
            return subprocess.Popen(self.nginx.command(self.conf, self.folder), stderr=stderr, cwd=self.folder)

    def answers(self) -> bool:
        try:
            return self.get("/proxy/health", {"Host": self.settings.hosts[0]}).status == 200
        except OSError:
            return False

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None, source: str = "127.0.0.1") -> Answer:
        return send(self.connect(source), "GET", path, headers=headers)

    def post(self, path: str = "/", body: bytes = b"x", headers: Mapping[str, str] | None = None) -> Answer:
        return send(self.connect(), "POST", path, body, headers)

    def open_request(self, path: str, method: str = "GET") -> http.client.HTTPConnection:
        """Send a request without waiting for its answer: `.getresponse()` does."""
        connection = self.connect()
        connection.request(method, path)
        return connection

    def connect(self, source: str = "127.0.0.1") -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))

    def reload(
        self, servers: tuple[UpstreamServer, ...] | None = None, timeout: float = 20, **overrides: Any
    ) -> tuple[int, ...]:
        self.settings = replace(self.settings, servers=servers or self.settings.servers, **overrides)
        self.nginx.install(render(self.settings), self.conf)
        return self.nginx.reload(self.conf, timeout)

    def log_lines(self, path: str) -> list[dict[str, Any]]:
        """Return the lines of the access log for this path as soon as there is one."""

        def lines() -> list[dict[str, Any]]:
            read = [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]
            return [line for line in read if line["uri"] == path]

        return wait_until(lines, f"a log line for {path}")


class RunningTls(RunningProxy):
    """nginx over TLS."""

    def __init__(
        self,
        folder: Path,
        servers: tuple[UpstreamServer, ...],
        certificate: Certificate,
        hsts_seconds: int = 0,
        **overrides: Any,
    ) -> None:
        tls = Tls(certificate.certificate, certificate.key, hsts_seconds)
        super().__init__(folder, servers, {"tls": tls, **overrides})
        self.authority = certificate.authority
        self.url = f"https://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        return http_ok(self.port, "/proxy/health", self.authority)
