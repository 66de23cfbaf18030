"""HTTP clients of the tests: one with a cookie jar, and single requests with every header as it was sent."""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests


class HttpClient(requests.Session):
    """A client with a cookie jar. A path is one of the server at `url`; `authority` is the certificate to trust.

    Each request has a connection of its own, unless `headers` say otherwise.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, authority: Path | None = None) -> None:
        super().__init__()
        self.url = url
        self.headers.update({"Connection": "close", **(headers or {})})
        self.trust_env = False
        if authority is not None:
            self.verify = str(authority)

    def request(self, method: str | bytes, url: str | bytes, *arguments: Any, **options: Any) -> requests.Response:
        address = urljoin(self.url, url if isinstance(url, str) else url.decode())
        return super().request(method, address, *arguments, **{"timeout": 20, **options})

    def ask(self, method: str, path: str, value: Any = None, status: int = 200) -> requests.Response:
        """Return the answer; AssertionError if its status is another one."""
        answer = self.request(method, path, json=value)
        assert answer.status_code == status, answer.text
        return answer

    def log_in(self, passwords: Mapping[str, str], user: str = "alice") -> requests.Response:
        return self.ask("POST", "/login", {"user": user, "password": passwords[user]})

    @property
    def user(self) -> str | None:
        found: str | None = self.ask("GET", "/me").json()["user"]
        return found


def node_of(answer: requests.Response) -> str:
    """Return the node that answered, or "" if none did."""
    return answer.headers.get("X-Served-By", "")


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
