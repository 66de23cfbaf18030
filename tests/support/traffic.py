"""Requests to a cluster as its users send them, one by one or without a pause."""

import threading
from collections import Counter
from typing import Self

from tests.support.http_client import HttpClient, node_of


def served_by(url: str, requests: int = 8) -> set[str]:
    """Return the nodes that answer new visitors."""
    return {node_of(HttpClient(url).get("/me")) for _ in range(requests)}


def set_cookie_names(url: str) -> set[str]:
    """Return the names of the cookies that new visitors get from the nodes."""
    names = set()
    for _ in range(8):
        visitor = HttpClient(url)
        visitor.ask("POST", "/visits", {})
        names |= set(visitor.cookies.keys())
    return names


class Traffic:
    """Visitors that read and write without a pause inside the block; `failed` has a message for each failure."""

    def __init__(self, url: str, visitors: int = 3) -> None:
        self._url = url
        self._leave = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._visit) for _ in range(visitors)]
        self.served: Counter[str] = Counter()
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
        visitor = HttpClient(self._url)
        visits = 0
        while not self._leave.is_set():
            method, path = ("GET", "/me") if visits % 2 else ("POST", "/visits")
            try:
                answer = visitor.request(method, path, json=None if method == "GET" else {})
                status, node = answer.status_code, node_of(answer)
                complaint = None if status == 200 else f"{method}: {status} ({dict(answer.headers)})"
            except OSError as error:
                complaint, node = f"{method}: {error!r}", ""
            visits += 1
            with self._lock:
                self.served[node] += 1
                if complaint:
                    self.failed.append(complaint)
