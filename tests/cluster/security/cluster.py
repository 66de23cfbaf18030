"""Two real nodes on one real store, by themselves and behind a real nginx with TLS and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from deploy.certificate import make_certificate
from nodes.accounts import create_users
from nodes.sessions import cookie
from proxy import UpstreamServer
from tests.support.harnesses.redis import RedisHarness
from tests.support.http_client import HttpClient
from tests.support.node import PASSWORD, PATIENT, SECRET, RunningNode
from tests.support.proxy import RunningProxy, RunningTls
from tests.support.valkey import Valkey

USERS = ["alice", "bob", "dave"]
"""Dave's password is guessed."""
NOBODY = [None, None, None]


@dataclass
class Cluster:
    """`urls` are those of the nodes and of the proxy."""

    folder: Path
    users: Path
    store: Valkey
    nodes: list[RunningNode]
    proxy: RunningProxy
    tls: RunningTls
    harness: RedisHarness = field(init=False)

    def __post_init__(self) -> None:
        self.harness = RedisHarness(self.store)
        self.url = f"http://127.0.0.1:{self.proxy.port}"
        self.urls = [*(node.url for node in self.nodes), self.url]

    def client(self, **headers: str) -> HttpClient:
        """A browser without cookies that sends its requests through the proxy."""
        return HttpClient(self.url, headers)

    def log_in(self, user: str = "alice") -> HttpClient:
        browser = self.client()
        browser.log_in({user: PASSWORD}, user)
        return browser

    def users_of(self, browser: HttpClient | str) -> list[Any]:
        """Return the user of this browser or cookie, as each node and the proxy see it."""
        value = browser if isinstance(browser, str) else browser.cookies["session"]
        answers = [HttpClient(url, {"Cookie": f"session={value}"}).get("/me") for url in self.urls]
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert not any("Set-Cookie" in answer.headers for answer in answers)
        return [answer.json()["user"] for answer in answers]

    def stored(self) -> set[str]:
        """Return the keys of all live sessions and of the counters of guesses."""
        return self.harness.keys()

    def age(self, seconds: float) -> None:
        self.harness.advance(seconds)


def credentials(user: str = "alice", password: str = PASSWORD) -> dict[str, str]:
    return {"user": user, "password": password}


def id_of(browser: requests.Session) -> str:
    return str(browser.cookies["session"]).partition(".")[0]


def signed(session_id: str) -> str:
    """Return a cookie with a valid signature."""
    return cookie.SignedCookie().sign(session_id, SECRET.encode())


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        store = Valkey()
        stack.callback(store.close)
        users = folder / "users.json"
        create_users(users, USERS, PASSWORD)
        redis = {"SESSION_STORE": "redis", "REDIS_URL": store.url, "LOG_LEVEL": "debug"}
        nodes = [
            stack.enter_context(RunningNode(users, folder / f"{name}.log", NODE_NAME=name, **redis, **PATIENT))
            for name in ("node-1", "node-2")
        ]
        servers = tuple(
            UpstreamServer(f"127.0.0.1:{node.port}", f"node-{number}") for number, node in enumerate(nodes, start=1)
        )
        for name in ("plain", "tls"):
            (folder / name).mkdir()
        proxy = stack.enter_context(RunningProxy(folder / "plain", servers, {"login_rate": None}))
        certificate = make_certificate(folder / "tls")
        tls = stack.enter_context(RunningTls(folder / "tls", servers, certificate, login_rate=None))
        yield Cluster(folder, users, store, nodes, proxy, tls)
        for node in nodes:
            node.process.terminate()  # both at once: each takes its time
