"""A real nginx with a rendered configuration, and the requests that tests send it."""

import getpass
import http.client
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import trustme

from deploy.ports import free_ports
from proxy import Nginx, ProxySettings, Server, Tls, render
from tests.support.servers import exchange
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def node(self) -> str:
        return str(json.loads(self.body)["node"])

    @property
    def forwarded(self) -> dict[str, str]:
        """The headers that reached the node."""
        headers: dict[str, str] = json.loads(self.body)["headers"]
        return headers


class RunningProxy:
    """nginx in front of `servers` in its own folder; a context manager that ends it. `overrides` are ProxySettings."""

    def __init__(self, folder: Path, servers: tuple[Server, ...], overrides: Mapping[str, Any]) -> None:
        self.nginx = Nginx()
        self.folder = folder
        self.conf = folder / "nginx.conf"
        self.port = free_ports(1)[0]
        self.settings = ProxySettings(
            servers=servers,
            runtime_dir=folder,
            listen=f"127.0.0.1:{self.port}",
            nginx_version=self.nginx.version,
            # As root, nginx would give its workers to `nobody`, who cannot enter pytest's folders.
            user=getpass.getuser() if os.geteuid() == 0 else None,
            **{"worker_processes": 2, **overrides},
        )

    def __enter__(self) -> Self:
        self.nginx.install(render(self.settings), self.conf)
        self.process = subprocess.Popen(
            self.nginx.command(self.conf, self.folder), stderr=subprocess.PIPE, cwd=self.folder
        )
        try:
            wait_until(self._answers, "the proxy answers")
        except AssertionError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        self.process.communicate(timeout=20)

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None, source: str = "127.0.0.1") -> Answer:
        return self.request("GET", path, headers=headers, source=source)

    def post(self, path: str = "/", body: bytes = b"x", headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", path, body, headers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Everything that comes back for these bytes until nginx closes."""
        return exchange(self.port, request)

    def open_request(self, path: str) -> http.client.HTTPConnection:
        """A request that is sent and not waited for: `.getresponse()` does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        return connection

    def reload(
        self, servers: tuple[Server, ...] | None = None, timeout: float = 20, **overrides: Any
    ) -> tuple[int, ...]:
        self.settings = replace(self.settings, servers=servers or self.settings.servers, **overrides)
        self.nginx.install(render(self.settings), self.conf)
        return self.nginx.reload(self.conf, timeout)

    def log_lines(self, path: str) -> list[dict[str, Any]]:
        """What the access log says of the requests for this path, once it says anything."""

        def lines() -> list[dict[str, Any]]:
            read = [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]
            return [line for line in read if line["uri"] == path]

        wait_until(lambda: bool(lines()), f"a log line for {path}")
        return lines()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            assert self.process.stderr is not None
            raise AssertionError(f"nginx ended: {self.process.stderr.read().decode()}")
        try:
            return self.get("/proxy/health", {"Host": self.settings.hosts[0]}).status == 200
        except OSError:
            return False


@dataclass(frozen=True)
class Certificate:
    """Files: the authority that browsers have to trust, what it signed, and the key of that."""

    authority: Path
    certificate: Path
    key: Path


def issue_certificate(folder: Path) -> Certificate:
    """For this machine, by an authority of its own."""
    made = Certificate(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(made.authority))
    issued.cert_chain_pems[0].write_to_path(str(made.certificate))
    issued.private_key_pem.write_to_path(str(made.key))
    return made


class RunningTls(RunningProxy):
    """The same over TLS."""

    def __init__(
        self,
        folder: Path,
        servers: tuple[Server, ...],
        certificate: Certificate,
        hsts_seconds: int = 0,
        **overrides: Any,
    ) -> None:
        tls = Tls(certificate.certificate, certificate.key, hsts_seconds)
        super().__init__(folder, servers, {"tls": tls, **overrides})
        self.authority = certificate.authority
        self.url = f"https://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/proxy/health", verify=str(self.authority), timeout=5).ok
        except requests.ConnectionError:
            return False
