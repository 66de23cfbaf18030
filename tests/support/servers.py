"""Small servers on 127.0.0.1, in threads of the test's process."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer


def exchange(port: int, request: bytes, quiet: float | None = None) -> bytes:
    """Return all that comes back for these bytes until the server closes or resets the connection.

    A server that sends nothing for `quiet` seconds has answered too; without `quiet` it is a TimeoutError after 10 s.
    """
    answer = b""
    ended = (ConnectionError, TimeoutError) if quiet else (ConnectionError,)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, contextlib.suppress(*ended):
        connection.sendall(request)
        connection.settimeout(quiet or 10)
        while data := connection.recv(65536):
            answer += data
    return answer


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
    """Answer GET of a path with status, headers and body. Yield the URL; `context` is for TLS."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
