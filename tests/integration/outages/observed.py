"""Observed answers of a node during a fault, in the words of docs/outages.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.node import PASSWORD, RunningNode

READ, WRITE, LOGIN, LOGOUT, WITHOUT, READY = "read", "write", "login", "logout", "no session", "ready"
KINDS = (READ, WRITE, LOGIN, LOGOUT, WITHOUT, READY)
CREDENTIALS = {"user": "alice", "password": PASSWORD}


@dataclass
class AliceBrowser:
    """Alice's, with one visit counted; another, anonymous one logs in where a login is looked at."""

    node: RunningNode
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session = self.node.log_in()
        assert self.visit().json() == {"visits": 1}

    def me(self) -> requests.Response:
        return self.session.get(f"{self.node.url}/me", timeout=20)

    def visit(self) -> requests.Response:
        return self.session.post(f"{self.node.url}/visits", json={}, timeout=20)

    def log_out(self) -> requests.Response:
        return self.session.post(f"{self.node.url}/logout", json={}, timeout=20)

    def log_in_elsewhere(self) -> requests.Response:
        return requests.post(f"{self.node.url}/login", json=CREDENTIALS, timeout=20)

    def is_logged_in(self, visits: int = 1) -> bool:
        """Return whether alice is still logged in, with this number of visits."""
        answer = self.me()
        return (answer.status_code, *_who(answer)) == (200, "alice", visits)

    def observe(self, kind: str) -> str:
        """Does one thing, and says what came of it."""
        cookies = self.session.cookies.get_dict()
        done: dict[str, Callable[[], requests.Response]] = {
            READ: self.me,
            WRITE: self.visit,
            LOGIN: self.log_in_elsewhere,
            LOGOUT: self.log_out,
            WITHOUT: lambda: requests.get(f"{self.node.url}/me", timeout=20),
            READY: lambda: requests.get(f"{self.node.url}/ready", timeout=20),
        }
        answer = done[kind]()
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0, kind
            assert answer.headers["Cache-Control"] == "no-store", kind
            assert "Set-Cookie" not in answer.headers, kind
            assert self.session.cookies.get_dict() == cookies
            assert "error" in answer.json()
            return "503"
        if kind == READY:
            assert answer.json()["ready"] is True
        if kind == READ and _who(answer)[0] is None:
            return "anonymous"
        assert answer.ok, answer.text
        return "ok"


def _who(answer: requests.Response) -> tuple[Any, Any]:
    return answer.json().get("user"), answer.json().get("visits")
