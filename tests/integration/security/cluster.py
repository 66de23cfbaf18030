"""Two real nodes on one real store, by themselves and behind a real nginx, as somebody who means harm sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import requests

from deploy.certificate import make_certificate
from nodes.accounts import create_users
from nodes.sessions import cookie
from proxy import Server
from tests.support.harness import RedisHarness
from tests.support.node import PASSWORD, PATIENT, SECRET, RunningNode
from tests.support.proxy import RunningProxy, RunningTls
from tests.support.valkey import Valkey

USERS = ["alice", "bob", "carol", "dave", "erin", "frank"]
"""Carol's password is changed, Dave's is guessed, Erin is disabled, Frank chooses passwords."""


@dataclass
class Cluster:
    """`urls` are the nodes' own and the proxy's; what one test does to times it does to every session of the store."""

    folder: Path
    users: Path
    store: Valkey
    nodes: list[RunningNode]
    proxy: RunningProxy
    tls: RunningTls
    harness: RedisHarness = field(init=False)

    def __post_init__(self) -> None:
        self.harness = RedisHarness(self.store)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    @property
    def secure_url(self) -> str:
        return f"https://127.0.0.1:{self.tls.port}"

    @property
    def urls(self) -> list[str]:
        return [*(node.url for node in self.nodes), self.url]

    def log_in(self, user: str = "alice", **headers: str) -> requests.Session:
        """A browser that logged in through the proxy."""
        browser = requests.Session()
        answer = browser.post(f"{self.url}/login", json=credentials(user), headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        return browser

    def users_of(self, browser: requests.Session | str) -> list[Any]:
        """Who each node, and the proxy, says that this browser, or the bearer of this cookie, is."""
        value = browser if isinstance(browser, str) else browser.cookies["session"]
        answers = [requests.get(f"{url}/me", headers={"Cookie": f"session={value}"}, timeout=20) for url in self.urls]
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert not any("Set-Cookie" in answer.headers for answer in answers)
        return [answer.json()["user"] for answer in answers]

    def stored(self) -> set[str]:
        """The keys of all live sessions, and of what counts guesses."""
        return self.harness.keys()

    def age(self, seconds: float) -> None:
        self.harness.advance(seconds)


NOBODY = [None, None, None]


HTML = {"Accept": "text/html"}


class Page(HTMLParser):
    """Where a page leads, its forms by where they are sent, their inputs and token, and how many scripts it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.forms: dict[str, set[str]] = {}
        self.inputs: list[dict[str, str]] = []
        self.token = ""
        self.scripts = 0
        self._form: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.scripts += tag == "script" or any(name.startswith("on") for name in found)
        if tag == "a":
            self.links.add(found["href"])
        elif tag == "form":
            assert found["method"] == "post"
            self._form = self.forms.setdefault(found["action"], set())
        elif tag in {"input", "button"}:
            self._form.add(found.get("name", tag))
            self.token = found["value"] if found.get("name") == "csrf_token" else self.token
        if tag == "input":
            self.inputs.append(found)


def credentials(user: str = "alice", password: str = PASSWORD) -> dict[str, str]:
    return {"user": user, "password": password}


def id_of(browser: requests.Session) -> str:
    return str(browser.cookies["session"]).partition(".")[0]


def signed(session_id: str) -> str:
    """A cookie with a genuine signature."""
    return cookie.sign(session_id, SECRET.encode())


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        store = Valkey()
        stack.callback(store.close)
        users = folder / "users.json"
        create_users(users, USERS, PASSWORD)
        redis = {"SESSION_STORE": "redis", "REDIS_URL": store.url, "LOG_LEVEL": "debug"}
        nodes = [
            stack.enter_context(
                RunningNode(users, folder / f"node-{number}.log", NODE_NAME=f"node-{number}", **redis, **PATIENT)
            )
            for number in (1, 2)
        ]
        servers = tuple(
            Server(f"127.0.0.1:{node.port}", f"node-{number}") for number, node in enumerate(nodes, start=1)
        )
        (folder / "plain").mkdir()
        proxy = stack.enter_context(RunningProxy(folder / "plain", servers, {"login_rate": None}))
        (folder / "tls").mkdir()
        certificate = make_certificate(folder / "tls")
        tls = stack.enter_context(RunningTls(folder / "tls", servers, certificate, login_rate=None))
        yield Cluster(folder, users, store, nodes, proxy, tls)
        for node in nodes:
            node.process.terminate()  # both at once: each takes its time
