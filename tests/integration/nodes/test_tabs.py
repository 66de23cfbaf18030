"""Tabs of one browser at a real node: one logs in again while the others write with the cookie from before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.node import PASSWORD, PATIENT, RunningNode, store_settings
from tests.support.valkey import Valkey

ROUNDS = 8
WRITERS = 2


@dataclass
class CookieJar:
    """The session's cookie of a browser. Each answer that sets one replaces it, in the order of arrival."""

    url: str
    cookie: str = ""
    visits: int = 0
    """Number of visits that were confirmed."""
    statuses: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, method: str, path: str, cookie: str, body: dict[str, Any] | None = None) -> requests.Response:
        """Send a request with this cookie, and keep the one that the answer sets."""
        answer = requests.request(method, self.url + path, json=body, headers={"Cookie": cookie}, timeout=20)
        with self.lock:
            self.statuses.add(answer.status_code)
            if "session" in answer.cookies:
                self.cookie = f"session={answer.cookies['session']}"
            if path == "/visits" and answer.status_code == 200:
                self.visits += 1
        return answer

    def log_in(self, cookie: str) -> int:
        return self.send("POST", "/login", cookie, {"user": "alice", "password": PASSWORD}).status_code

    def visit(self, cookie: str) -> None:
        self.send("POST", "/visits", cookie, {})

    def profile(self) -> tuple[str | None, int]:
        """Return the user and the visits that the browser's next page shows."""
        answer = self.send("GET", "/me", self.cookie).json()
        return answer["user"], answer["visits"]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def url(
    request: pytest.FixtureRequest, users_file: Path, server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("node")
    # Others log in with wrong passwords on this server: in a namespace of its own, the node does not count theirs.
    redis = {"SESSION_STORE": "redis", "REDIS_URL": server.url, "STORE_NAMESPACE": "tabs", **PATIENT}
    settings = redis if request.param == "redis" else store_settings(request.param, folder)
    with RunningNode(users_file, folder / "node.log", **settings) as node:
        yield node.url


def race(url: str, late: bool) -> CookieJar:
    """Log in again while other tabs write with the old cookie; `late`: one more write arrives after the login."""
    jar = CookieJar(url)
    jar.visit("")
    assert jar.log_in(jar.cookie) == 200
    old, done = jar.cookie, threading.Event()

    def write() -> None:
        while not done.is_set():
            jar.visit(old)

    tabs = [threading.Thread(target=write) for _ in range(WRITERS)]
    for tab in tabs:
        tab.start()
    jar.log_in(old)
    done.set()
    for tab in tabs:
        tab.join()
    if late:
        jar.visit(old)
    return jar


@pytest.mark.parametrize("late", [False, True])
def test_a_login_outlives_the_writes_of_other_tabs_and_loses_none(url: str, late: bool) -> None:
    for _ in range(ROUNDS):
        jar = race(url, late)
        assert jar.profile() == ("alice", jar.visits)
        assert jar.statuses <= {200, 409}


def test_two_logins_at_once_give_one_session(url: str) -> None:
    for _ in range(ROUNDS):
        jar = CookieJar(url)
        jar.visit("")
        old = jar.cookie
        tabs = [threading.Thread(target=jar.log_in, args=[old]) for _ in range(2)]
        for tab in tabs:
            tab.start()
        for tab in tabs:
            tab.join()
        assert jar.profile() == ("alice", 1)
        assert jar.log_in(old) == 200
        assert jar.profile() == ("alice", 1)
