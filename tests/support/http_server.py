"""A small application behind a real HTTP server, and a client that sees every byte of a header."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import flask
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from nodes.sessions import Changes, Lifetime, MemoryStore, Outcome, Record, SessionMark, Store
from tests.support.browser import application
from tests.support.harness import Through
from tests.support.http_client import Answer, send
from tests.support.servers import running

View = Callable[[Any], Any]


class Recorded(Through):
    """A store that records the names of the called operations."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: list[str] = []

    def load(self, key: str) -> Record | SessionMark | None:
        self.calls.append("load")
        return super().load(key)

    def create(self, *args: Any, **kwargs: Any) -> float | None:
        self.calls.append("create")
        return super().create(*args, **kwargs)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        self.calls.append("update" if changes.set or changes.delete else "touch")
        return super().update(key, changes, lifetime)

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        self.calls.append("retire")
        return super().retire(key, mark, expect)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class Reply(Answer):
    @property
    def set_cookies(self) -> list[str]:
        return self.headers.get_all("Set-Cookie", [])

    @property
    def set_cookie(self) -> str | None:
        """Return the Set-Cookie header of the session, of which there is at most one."""
        ours = [value for value in self.set_cookies if not value.startswith("other=")]
        assert len(ours) <= 1
        return ours[0] if ours else None

    @property
    def pair(self) -> str:
        assert self.set_cookie is not None
        return self.set_cookie.partition(";")[0]

    @property
    def id(self) -> str:
        return self.pair.partition("=")[2].partition(".")[0]

    def attribute(self, name: str) -> str | None:
        for part in (self.set_cookie or "").split("; ")[1:]:
            key, _, value = part.partition("=")
            if key.lower() == name.lower():
                return value
        return None


@dataclass(eq=False)
class Site:
    """A running application: GET / calls `view` with the session and answers with its result."""

    port: int
    store: Recorded
    view: View = field(default=lambda session: "ok")
    cookie: str | None = None

    def get(self, view: View | None = None, path: str = "/", **headers: str) -> Reply:
        """Send a request with `cookie` that `view` answers. A cookie that the answer sets replaces `cookie`."""
        if view is not None:
            self.view = view
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie is not None:
            sent.setdefault("Cookie", self.cookie)
        answer = send(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10), "GET", path, headers=sent)
        reply = Reply(answer.status, answer.headers, answer.body)
        if reply.set_cookie is not None:
            self.cookie = reply.pair
        return reply


@contextmanager
def serve(store: Store | None = None, extend: Callable[[Flask], Any] | None = None, **options: Any) -> Iterator[Site]:
    """Serve an application with `options` on a real socket inside the block."""
    recorded = Recorded(store or MemoryStore())
    app = application(recorded, **options)
    app.testing = False
    site = Site(0, recorded)

    @app.get("/")
    @app.get("/<path:path>")
    def answer(path: str = "") -> Any:
        return site.view(flask.session) or "ok"

    if extend is not None:
        extend(app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    site.port = server.server_port
    with running(server):
        yield site
