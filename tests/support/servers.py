"""Servers on 127.0.0.1: a process with its log, and small ones in threads of the test's process."""

import contextlib
import socket
import ssl
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from deploy.ports import free_ports
from deploy.waiting import http_ok
from tests.support.waiting import wait_until


class RunningServer(ABC):
    """A process from `with` to its end. It serves HTTP at `url`, /live too, and logs to `log`."""

    def __init__(self, log: Path) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log

    @abstractmethod
    def start(self) -> subprocess.Popen[bytes]: ...

    def answers(self) -> bool:
        return http_ok(self.port, "/live")

    def __enter__(self) -> Self:
        self.process = self.start()
        try:
            wait_until(lambda: self.process.poll() is not None or self.answers())
            assert self.process.poll() is None, "it ended"
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{self.url} did not start: {error}\n{self.log.read_text()}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


@contextmanager
def running(server: HTTPServer) -> Iterator[str]:
    """Serve inside the block. Yield the server's URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ThreadingServer(ThreadingHTTPServer):
    """Takes many connections at once: a full queue would cost each client a second."""

    request_queue_size = 128


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def http_server(
    answer: Callable[[str], tuple[int, Mapping[str, str], bytes]], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Answer GET and POST of a path with status, headers and body. Yield the URL; `context` is for TLS."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

    server = ThreadingServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server) as url:
        yield url.replace("http:", "https:") if context else url


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Call `serve` with each connection, in a thread of its own. Yield the port."""

    def serve_and_close(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            serve(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve_and_close, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
