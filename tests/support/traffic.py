"""Requests to a cluster as its users send them, one by one or without a pause."""

import http.client
import json
import ssl
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.http_client import Answer, send


class Visitor:
    """A user of the cluster with a cookie jar. `authority` is the certificate to trust over TLS."""

    def __init__(self, url: str, authority: Path | None = None) -> None:
        self._url = urlsplit(url)
        self._context = ssl.create_default_context(cafile=authority) if self._url.scheme == "https" else None
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, value: Any = None) -> Answer:
        return self.request("POST", path, value)

    def request(self, method: str, path: str, value: Any = None) -> Answer:
        """Send one request. Raises OSError or HTTPException if no answer comes."""
        connection = (
            http.client.HTTPSConnection(self._url.netloc, timeout=20, context=self._context)
            if self._context
            else http.client.HTTPConnection(self._url.netloc, timeout=20)
        )
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = send(connection, method, path, None if value is None else json.dumps(value), headers)
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer

    def ask(self, method: str, path: str, value: Any = None, status: int = 200) -> Answer:
        """Return the answer; AssertionError if its status is another one."""
        answer = self.request(method, path, value)
        assert answer.status == status, answer.body
        return answer

    def log_in(self, users: Mapping[str, str], user: str = "alice") -> Answer:
        return self.ask("POST", "/login", {"user": user, "password": users[user]})

    @property
    def user(self) -> str | None:
        found: str | None = self.ask("GET", "/me").json["user"]
        return found


def served_by(url: str, requests: int = 8) -> set[str | None]:
    """Return the nodes that answer new visitors."""
    return {Visitor(url).get("/me").node for _ in range(requests)}


def set_cookie_names(url: str) -> set[str]:
    """Return the names of the cookies that new visitors get from the nodes."""
    names = set()
    for _ in range(8):
        visitor = Visitor(url)
        assert visitor.post("/visits").status == 200
        names |= set(visitor.cookies)
    return names


class Traffic:
    """Visitors that read and write without a pause inside the block; `failed` has a message for each failure."""

    def __init__(self, url: str, visitors: int = 3) -> None:
        self._url = url
        self._leave = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._visit) for _ in range(visitors)]
        self.served: Counter[str | None] = Counter()
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        visitor = Visitor(self._url)
        visits = 0
        while not self._leave.is_set():
            method, path = ("GET", "/me") if visits % 2 else ("POST", "/visits")
            try:
                answer = visitor.request(method, path)
                complaint = None if answer.status == 200 else f"{method}: {answer.status} ({dict(answer.headers)})"
                node = answer.node
            except (OSError, http.client.HTTPException) as error:
                complaint, node = f"{method}: {error!r}", None
            visits += 1
            with self._lock:
                self.served[node] += 1
                if complaint:
                    self.failed.append(complaint)
