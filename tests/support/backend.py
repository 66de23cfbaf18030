"""A small HTTP server in place of a node. It returns its name and the headers it got, and fails on certain paths."""

import json
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.support.servers import QuietHandler, ThreadingServer


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Backend:
    """One node. Paths: /503 answers it with Retry-After; /drop hangs up once the request is in, while `dropping` is
    set; /wait answers when `release` is set; anything else is a 200."""

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """More headers of each answer."""
    dropping: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._server = _Server(self, (self.host, self.port))
        self.port = self._server.server_address[1]
        self._thread = self._serve()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def hits(self, path: str) -> int:
        return sum(seen.path == path for seen in self.seen)

    def die(self) -> None:
        """Stop listening and break every connection, as after SIGKILL."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self._thread.join()

    def come_back(self) -> None:
        self.release.clear()
        self._server = _Server(self, (self.host, self.port))
        self._thread = self._serve()

    def _serve(self) -> threading.Thread:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        return thread


class _Server(ThreadingServer):
    block_on_close = False

    def __init__(self, backend: Backend, address: tuple[str, int]) -> None:
        self.backend = backend
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It is gone already.

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: tests break connections on purpose."""


class _Handler(QuietHandler):
    server: _Server

    def do_GET(self) -> None:  # noqa: N802
        backend = self.server.backend
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        backend.seen.append(seen)
        if self.path == "/drop" and backend.dropping.is_set():
            self.close_connection = True
            return
        if self.path == "/wait":
            backend.release.wait(60)
        self.send_response(503 if self.path == "/503" else 200)
        if self.path == "/503":
            self.send_header("Retry-After", "7")
            self.send_header("Cache-Control", "no-store")
        answer = json.dumps(seen.headers).encode()
        self.send_header("X-Served-By", backend.name)
        for name, value in backend.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_GET  # noqa: N815
