"""HTTP requests with the standard library: one connection each, and every header as it was sent."""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def node(self) -> str:
        """Return the node that answered, or "" if none did."""
        return self.headers.get("X-Served-By", "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request and close the connection. Raises OSError or HTTPException if no answer comes."""
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def send_raw(port: int, request: bytes, quiet: float | None = None) -> bytes:
    """Send these bytes. Return what comes back until the server closes or resets; raises TimeoutError after 10 s.

    With `quiet`, a server that sends nothing for that many seconds has answered, too.
    """
    answer = b""
    ends = (ConnectionError, TimeoutError) if quiet else (ConnectionError,)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with suppress(*ends):
            connection.sendall(request)
            connection.settimeout(quiet or 10)
            while data := connection.recv(65536):
                answer += data
    return answer
