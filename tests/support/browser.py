"""A browser and an application that has nothing but sessions, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flask import Flask, Response
from flask.globals import session as flask_session
from werkzeug.http import parse_cookie
from werkzeug.test import EnvironBuilder

from nodes.sessions import (
    SessionData,
    SessionError,
    SessionOptions,
    Sessions,
    Store,
    UserSessions,
    current_session,
    signals,
)
from tests.support.node import SECRET as SECRET

View = Callable[[SessionData], Any]


def application(store: Store, **options: Any) -> Flask:
    app = Flask("tests")
    app.config["PROPAGATE_EXCEPTIONS"] = True
    Sessions(app, store=store, options=SessionOptions(**{"secrets": (SECRET,), **options}))
    return app


class Answer:
    """A response, and the value that the view returned."""

    def __init__(self) -> None:
        self.response = Response("ok")
        self.value: Any = None

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def set_cookie(self) -> str | None:
        return self.response.headers.get("Set-Cookie")


class Browser:
    """One cookie jar for one application."""

    def __init__(self, app: Flask, base_url: str = "http://site.example") -> None:
        self.app = app
        self.cookies: dict[str, str] = {}
        self._base_url = base_url

    @property
    def sessions(self) -> Sessions:
        sessions: Sessions = self.app.extensions["sessions"]
        return sessions

    @property
    def users(self) -> UserSessions:
        assert self.sessions.users is not None
        return self.sessions.users

    @property
    def header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @contextmanager
    def request(
        self, header: str | None = None, environ: dict[str, Any] | None = None
    ) -> Iterator[tuple[SessionData, Answer]]:
        """Run the block inside a request. Requests can be nested to overlap."""
        cookie = self.header if header is None else header
        builder = EnvironBuilder(path="/", base_url=self._base_url, environ_overrides=environ)
        wsgi = builder.get_environ()
        if cookie:
            wsgi["HTTP_COOKIE"] = cookie
        answer = Answer()
        context = self.app.request_context(wsgi)
        with ExitStack() as stack:
            stack.push(context.__exit__)  # closed even if the session can't be opened, as Flask itself does
            context.push()
            session = flask_session._get_current_object()  # type: ignore[attr-defined]
            try:
                yield session, answer
            except SessionError as error:
                answer.response = self.app.make_response(self.app.handle_user_exception(error))
            answer.response = self.app.process_response(answer.response)
            self._take(answer.response)

    def _take(self, response: Response) -> None:
        for header in response.headers.getlist("Set-Cookie"):
            (name, value), *_ = parse_cookie(header.split(";")[0]).items(multi=True)
            if "Max-Age=0" in header:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def visit(self, view: View = lambda session: None, **request: Any) -> Answer:
        """Call `view` in a request of its own."""
        with self.request(**request) as (session, answer):
            answer.value = view(session)
        return answer

    def at(self, app: Flask) -> Browser:
        """Return this browser, with its cookies, at another node."""
        browser = Browser(app, self._base_url)
        browser.cookies = self.cookies
        return browser

    def put(self, **values: Any) -> Answer:
        """Assign values to keys without a read."""
        return self.visit(lambda session: session.update(values))

    def log_in(self, user: str = "alice") -> Answer:
        return self.visit(lambda session: current_session.renew(user))

    def log_out(self) -> Answer:
        return self.visit(lambda session: current_session.end())

    def read(self, **request: Any) -> tuple[str | None, dict[str, Any]]:
        """Return the session's owner and data."""
        owner, data = self.visit(lambda session: (current_session.owner, dict(session)), **request).value
        return owner, data

    @property
    def owner(self) -> str | None:
        return self.read()[0]

    @property
    def data(self) -> dict[str, Any]:
        return self.read()[1]

    @property
    def key(self) -> str:
        """Return the hash of the session's id without a read."""
        return str(self.visit(lambda session: current_session.key_hash).value)

    @contextmanager
    def signals(self) -> Iterator[list[tuple[str, str]]]:
        """Collect the signals of the application's sessions inside the block: name and key."""
        seen: list[tuple[str, str]] = []
        with ExitStack() as stack:
            for name in ("absent", "conflict", "created", "ended", "expired", "renewed"):
                listen = lambda _sender, key, name=name: seen.append((name, key))  # noqa: E731
                signal = getattr(signals, f"session_{name}")
                stack.enter_context(signal.connected_to(listen, sender=self.sessions))
            yield seen
