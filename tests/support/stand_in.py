"""A tiny server that speaks the nodes' HTTP interface, and breaks sessions in known ways, to check figures.

It stands for a whole cluster behind a proxy: `memories` nodes take turns, each with sessions of its own.
"""

import itertools
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from loadtest.target import RunningTarget
from tests.support.servers import QuietHandler, ThreadingServer, running

ACCOUNTS = {"alice": "alice's password", "bob": "bob's password", "carol": "carol's password"}


@dataclass
class Record:
    user: str | None = None
    visits: int = 0
    cart: dict[str, int] = field(default_factory=dict)


@dataclass
class StandIn:
    """The faults of the server; by default it has none."""

    memories: int = 1
    failed_visits: bool = False  # POST /visits: counted, and answered with 502 every second time
    crossing: bool = False  # GET /me shows the session of the request before
    forgetful_cart: bool = False  # additions are acknowledged and not kept
    revived: bool = False  # POST /logout clears nothing
    misdirects: bool = False  # a write with the old id of a renewed session creates a new one, instead of 409
    keeps_others: bool = False  # DELETE /sessions and POST /password end no other sessions
    keeps_password: bool = False  # POST /password is acknowledged and changes nothing
    delay: float = 0.0  # seconds before each request is carried out
    lag: float = 0.0  # seconds from then to its answer
    cookie_name: str = "session"

    def __post_init__(self) -> None:
        memories: list[dict[str, Record]] = [{} for _ in range(self.memories)]
        self.turns = itertools.cycle(enumerate(memories, 1))
        self.visits = itertools.count()
        self.lock = threading.Lock()
        self.previous: Record | None = None
        self.renewed: set[str] = set()
        self.passwords = dict(ACCOUNTS)
        self.requests = 0


@contextmanager
def serving(behaviour: StandIn) -> Iterator[str]:
    """Run a server that behaves so. Yield its URL."""

    class Handler(_Handler):
        stand_in = behaviour

    with running(ThreadingServer(("127.0.0.1", 0), Handler)) as url:
        yield url


class _Handler(QuietHandler):
    stand_in: StandIn

    cookie: str | None
    """The cookie that the answer sets."""

    def do_GET(self) -> None:  # noqa: N802
        self._serve()

    do_POST = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        self.stand_in.requests += 1
        time.sleep(self.stand_in.delay)
        sent = SimpleCookie(self.headers.get("Cookie", "")).get(self.stand_in.cookie_name)
        with self.stand_in.lock:
            number, memory = next(self.stand_in.turns)
            self.node, self.cookie = f"node-{number}", None
            status, shown = self._answer(memory, sent.value if sent else "", body)
        time.sleep(self.stand_in.lag)
        content = b"" if shown is None else json.dumps(shown).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Served-By", self.node)
        self.send_header("X-Upstream-Status", str(status))
        if self.cookie is not None:
            self.send_header("Set-Cookie", f"{self.stand_in.cookie_name}={self.cookie}; Path=/; HttpOnly")
        with suppress(ConnectionError):  # its user has given up
            self.end_headers()
            self.wfile.write(content)

    def _renew(self, memory: dict[str, Record], session: str, user: str) -> None:
        record = memory.pop(session, Record())
        self.stand_in.renewed |= {session} - {""}  # a login without a cookie renews nothing
        record.user, self.cookie = user, secrets.token_hex(16)
        memory[self.cookie] = record

    def _end_others(self, memory: dict[str, Record], keep: str | None, user: str) -> None:
        if not self.stand_in.keeps_others:
            for other in [key for key, record in memory.items() if record.user == user and key != keep]:
                del memory[other]

    def _write(self, memory: dict[str, Record], session: str) -> Record:
        if session not in memory:
            self.cookie = secrets.token_hex(16)
            memory[self.cookie] = Record()
        return memory[self.cookie or session]

    def _answer(self, memory: dict[str, Record], session: str, body: Any) -> tuple[int, Any]:
        behaviour, record = self.stand_in, memory.get(session, Record())
        may_write = behaviour.misdirects or session not in behaviour.renewed
        match self.command, self.path:
            case "GET", "/me":
                shown = behaviour.previous if behaviour.crossing and behaviour.previous else record
                behaviour.previous = record
                return 200, {"user": shown.user, "node": self.node, "visits": shown.visits, "cart": shown.cart}
            case "GET", "/account":
                return (200, {"user": record.user}) if record.user else (401, {"error": "log in"})
            case "POST", "/login":
                if behaviour.passwords.get(body["user"]) != body["password"]:
                    return 401, {"error": "unknown user or wrong password"}
                self._renew(memory, session, body["user"])
                return 200, {"user": body["user"], "node": self.node}
            case "POST", "/logout":
                if not behaviour.revived:
                    memory.pop(session, None)
                    self.cookie = "; Max-Age=0"
                return 204, None
            case ("POST", "/visits" | "/cart") | ("DELETE", "/cart") if not may_write:
                return 409, {"error": "the session has another id"}
            case "POST", "/visits":
                record = self._write(memory, session)
                record.visits += 1
                if behaviour.failed_visits and next(behaviour.visits) % 2:
                    return 502, {"error": "bad gateway"}
                return 200, {"visits": record.visits}
            case "POST", "/cart":
                record = self._write(memory, session)
                cart = {**record.cart, body["item"]: record.cart.get(body["item"], 0) + body["quantity"]}
                if not behaviour.forgetful_cart:
                    record.cart = cart
                return 200, {"cart": cart}
            case "DELETE", "/cart":
                record.cart = {}
                return 204, None
            case (("GET" | "DELETE"), "/sessions") | ("POST", "/password") if record.user is None:
                return 401, {"error": "log in"}
            case "GET", "/sessions":
                return 200, {"sessions": []}
            case "DELETE", "/sessions":
                self._end_others(memory, session, record.user or "")
                return 200, {"ended": 1}
            case "POST", "/password":
                user = record.user or ""
                if behaviour.passwords[user] != body["current"]:
                    return 403, {"error": "wrong password"}
                if not behaviour.keeps_password:
                    behaviour.passwords[user] = body["new"]
                self._renew(memory, session, user)
                self._end_others(memory, self.cookie, user)
                return 204, None
            case _:
                return 404, {"error": "not found"}


def target(url: str, **settings: Any) -> RunningTarget:
    """Return the server as a target of virtual users."""
    return RunningTarget(**{"url": url, "users": ACCOUNTS, **settings})
