"""The rows of the first table of docs/outages.md: what a browser gets during each fault, and after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import requests

from nodes.sessions import cookie
from tests.support.http_client import HttpClient
from tests.support.node import PASSWORD, RunningNode
from tests.support.waiting import wait_until

READ, WRITE, LOGIN, LOGOUT, WITHOUT, READY = "read", "write", "login", "logout", "no session", "ready"
KINDS = (READ, WRITE, LOGIN, LOGOUT, WITHOUT, READY)
CREDENTIALS = {"user": "alice", "password": PASSWORD}
EXPECTED = {
    "Redis killed": "503 503 503 503 ok 503",
    "Redis silent": "503 503 503 503 ok 503",
    "Redis full": "ok 503 503 ok ok ok",
    "Redis slow, within the budget": "ok ok ok ok ok ok",
    "Redis slower than the budget": "503 503 503 503 ok 503",
    "Redis: its name is not known": "503 503 503 503 ok 503",
    "Redis: record damaged": "anonymous ok ok ok ok ok",
    "Redis: record of a later version": "503 503 ok ok ok ok",
    "files: disk full": "ok 503 503 ok ok ok",
    "files: folder gone": "503 503 503 503 ok 503",
    "files: record damaged": "anonymous ok ok ok ok ok",
    "files: record of a later version": "503 503 ok ok ok ok",
    "Express, in Redis: killed": "503 503 503 503 ok 503",
    "Express, in Redis: record damaged": "anonymous ok ok ok ok ok",
    "encrypted: key unknown": "503 503 ok ok ok ok",
    "encrypted: a node has no key": "503 503 ok ok ok ok",
    "memory full": "ok ok 503 ok ok ok",
    "SQLite: locked by another": "ok 503 503 503 ok ok",
    "SQLite: disk full": "ok 503 503 503 ok ok",
    "SQLite: record damaged": "anonymous ok ok ok ok ok",
    "SQLite: record of a later version": "503 503 ok ok ok ok",
    "MySQL killed": "503 503 503 503 ok 503",
    "MySQL silent": "503 503 503 503 ok 503",
    "MySQL: disk full": "ok ok 503 ok ok ok",
    "MySQL: record damaged": "anonymous ok ok ok ok ok",
    "MySQL: record of a later version": "503 503 ok ok ok ok",
    "PostgreSQL killed": "503 503 503 503 ok 503",
    "PostgreSQL silent": "503 503 503 503 ok 503",
    "PostgreSQL: disk full": "ok 503 503 ok ok ok",
    "PostgreSQL: record damaged": "anonymous ok ok ok ok ok",
    "PostgreSQL: record of a later version": "503 503 ok ok ok ok",
}
"""For each fault, the outcome of each of `KINDS`."""
PATIENT = {"STORE_CONNECT_TIMEOUT": "2", "STORE_READ_TIMEOUT": "2", "STORE_DEADLINE": "4"}
HASTY = {"STORE_CONNECT_TIMEOUT": "0.3", "STORE_READ_TIMEOUT": "0.3", "STORE_RETRIES": "0", "STORE_DEADLINE": "0.6"}


class AliceBrowser(HttpClient):
    """A client with which alice is logged in, with one visit; `url` is that of the node it sends its requests to."""

    def __init__(self, node: RunningNode) -> None:
        super().__init__(node.url)
        self.log_in({"alice": PASSWORD})
        assert self.attempt(WRITE).json() == {"visits": 1}

    def attempt(self, kind: str) -> requests.Response:
        match kind:
            case "read":
                return self.get("/me")
            case "write":
                return self.post("/visits", json={})
            case "login":
                return HttpClient(self.url).post("/login", json=CREDENTIALS)
            case "logout":
                return self.post("/logout", json={})
            case _:
                return HttpClient(self.url).get("/ready" if kind == READY else "/me")

    def is_logged_in(self) -> bool:
        answer = self.attempt(READ)
        return (answer.status_code, *_identity(answer)) == (200, "alice", 1)

    def observe(self, kind: str) -> str:
        """Make a request and return its outcome, in the words of docs/outages.md."""
        cookies = self.cookies.get_dict()
        answer = self.attempt(kind)
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0, kind
            assert answer.headers["Cache-Control"] == "no-store", kind
            assert "Set-Cookie" not in answer.headers, kind
            assert self.cookies.get_dict() == cookies
            assert "error" in answer.json()
            return "503"
        if kind == READY:
            assert answer.json()["ready"] is True
        if kind == READ and _identity(answer)[0] is None:
            return "anonymous"
        assert answer.ok, answer.text
        return "ok"

    def session_id(self) -> str:
        """Return the id in this project's cookie or in Express's."""
        value = self.cookies.get("connect.sid")
        if value is not None:
            return unquote(value).removeprefix("s:").rpartition(".")[0]
        return str(self.cookies["session"]).partition(".")[0]

    def session_key(self) -> str:
        return cookie.hash_id(self.session_id())


def _identity(answer: requests.Response) -> tuple[Any, Any]:
    return answer.json().get("user"), answer.json().get("visits")


class Row:
    """One row: what alice's browser gets."""

    def __init__(self, node: RunningNode) -> None:
        self.alice = AliceBrowser(node)
        self.observed: dict[str, str] = {}

    def observe(self, node: RunningNode | None = None) -> None:
        """Observe each outcome, during the fault, at the node that has it."""
        alice = self.alice
        alice.url = node.url if node else alice.url
        # The logout comes last: where it works, alice is logged out afterwards.
        self.observed = {kind: alice.observe(kind) for kind in KINDS if kind != LOGOUT}
        assert alice.observe(READ) == self.observed[READ], "what failed before has changed it"
        self.observed[LOGOUT] = alice.observe(LOGOUT)
        assert HttpClient(alice.url).get("/live").status_code == 200


@contextmanager
def row(fault: str, node: RunningNode) -> Iterator[Row]:
    """Yield the row for the fault, which the block makes and observes. Compare it, and check that all is well after."""
    made, bystander = Row(node), AliceBrowser(node)
    yield made
    observed, expected = made.observed, dict(zip(KINDS, EXPECTED[fault].split(), strict=True))
    assert observed == expected, {kind for kind in KINDS if observed[kind] != expected[kind]}
    wait_until(bystander.is_logged_in)
    wait_until(lambda: HttpClient(node.url).get("/ready").status_code == 200)
    if observed[LOGOUT] == "503" and observed[WRITE] == "503" and "slower" not in fault:
        made.alice.url = node.url
        assert made.alice.is_logged_in()
    assert not [line["exception"][-700:] for line in node.lines() if "exception" in line]


def documentation() -> str:
    """Return the expected outcomes as the first table of docs/outages.md; the sessions of others are always kept."""
    lines = [f"| {fault} | {' | '.join(outcomes.split())} | kept |" for fault, outcomes in EXPECTED.items()]
    return "\n".join(["| fault | read | write | login | logout | visitor | ready | others |", "|" + "---|" * 8, *lines])
