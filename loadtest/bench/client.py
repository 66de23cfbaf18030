"""Send a bounded number of GETs over a few persistent connections, in a process of its own that is not measured.

    python -m loadtest.bench.client PORT PATH REQUESTS CONNECTIONS COOKIE SEEN

prints the seconds that it took. It fails with one line on an answer other than a 200 in whose head or body the regular
expression SEEN is found, which proves that the session was read.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections.abc import Callable

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


def get(connection: socket.socket, request: bytes) -> tuple[bytes, bytes]:
    """Send a request; return head and body of the answer. Raises ConnectionError if it is cut off or not a 200."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    if length is None:
        raise ConnectionError("an answer without Content-Length")
    while len(body) < int(length[1]):
        body += _more(connection)
    if not head.startswith(b"HTTP/1.1 200 "):
        status = head.splitlines()[0].decode("latin-1")
        raise ConnectionError(f"answered {status}")
    return head, body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed the connection")
    return data


def request_for(path: str, cookie: str = "", headers: str = "", body: bytes | None = None) -> bytes:
    """Return the bytes of a GET, or of a POST with this body. Each of the `headers` ends with a line break."""
    method, length = ("GET", "") if body is None else ("POST", f"Content-Length: {len(body)}\r\n")
    cookies = f"Cookie: {cookie}\r\n" if cookie else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{length}{cookies}\r\n"
    return head.encode("latin-1") + (body or b"")


def load(port: int, request: bytes, requests: int, connections: int, seen: str) -> float:
    """Send `requests` over `connections` in parallel; return the duration in seconds. Raises OSError."""
    expected = re.compile(seen.encode(), re.IGNORECASE)

    def send(connection: socket.socket, _number: int) -> None:
        for _ in range(requests // connections):
            if not any(map(expected.search, get(connection, request))):
                raise ConnectionError("an answer that did not see the session")

    return use_connections(port, connections, send)


def use_connections(port: int, count: int, use: Callable[[socket.socket, int], None]) -> float:
    """Open `count` connections and `use` each, with its number, in parallel; return the duration in seconds. Raises
    OSError."""
    failures: list[OSError] = []

    def run(number: int) -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                use(connection, number)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began


def main() -> None:
    port, path, requests, connections, cookie, seen = sys.argv[1:]
    try:
        print(load(int(port), request_for(path, cookie), int(requests), int(connections), seen))
    except OSError as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main()
