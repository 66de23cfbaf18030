"""The console's HTTP interface: the page, its events, commands; and what keeps other pages and people out.

`Console` is what views need: a view of its own adds a blueprint to `create_app`.
"""

import hmac
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import flask
import gevent
import msgspec
from gevent.pywsgi import WSGIServer
from rich.console import Console as Terminal
from werkzeug.exceptions import Conflict, HTTPException

from deploy import ClusterError
from loadtest.console.as_json import answer, read_posted
from loadtest.console.board import Board, Order
from loadtest.console.director import Director, Refused
from loadtest.console.experiment_view import make_experiment_view
from loadtest.console.messages import STATIC
from loadtest.console.sampler import Sampler
from loadtest.console.session_view import make_session_view
from loadtest.console.threads import in_thread
from loadtest.console.tour_view import make_tour_view
from loadtest.report.korean import say

PREFIX = "/console"
LOG_LINES = 40
MOST_STREAMS = 32
MOST_BYTES = 4096
_POLL = 0.1
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass
class Console:
    """One console: what its page shows, who executes its commands, and who may use it."""

    board: Board
    director: Director
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    streams: int = 0
    listen: tuple[str, int] | None = None
    """Where it listens; None: at the port on 127.0.0.1. In a container that is another address."""

    @property
    def address(self) -> str:
        """The address with the token, which a browser exchanges for a cookie."""
        return f"http://127.0.0.1:{self.port}{PREFIX}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers send cookies to every port of a host."""
        return f"console-{self.port}"


def create_app(console: Console) -> flask.Flask:
    """Return the application of one console."""
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.register_blueprint(_make_pages(console))
    app.register_blueprint(make_session_view(console))
    app.register_blueprint(make_tour_view(console))
    app.register_blueprint(make_experiment_view(console))
    app.before_request(lambda: _check_origin(console))
    app.before_request(lambda: _check_token(console))

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS | flask.g.pop("headers", {}))
        return response

    @app.errorhandler(HTTPException)
    def answer_error(error: HTTPException) -> tuple[dict[str, Any], int]:
        text = error.description or error.name
        return {"error": text, "said": msgspec.to_builtins(say(text))}, error.code or 500

    @app.errorhandler(ClusterError)
    def answer_cluster_error(error: ClusterError) -> tuple[dict[str, Any], int]:
        return answer_error(Conflict(str(error)))

    @app.errorhandler(Refused)
    def answer_refusal(refusal: Refused) -> tuple[dict[str, Any], int]:
        return {"error": str(refusal), "reason": msgspec.to_builtins(refusal.reason)}, 409

    @app.get("/")
    def to_page() -> Any:
        return flask.redirect(f"{PREFIX}/", 303)

    return app


def _make_pages(console: Console) -> flask.Blueprint:
    pages = flask.Blueprint("console", __name__, url_prefix=PREFIX)

    @pages.get("/")
    def page() -> Any:
        given = flask.request.args.get("token")
        if given is None:
            return flask.send_from_directory(STATIC, "index.html")
        response = flask.redirect(f"{PREFIX}/", 303)  # so that the token is neither in the bar nor in the history
        response.set_cookie(console.cookie, console.token, path=PREFIX, httponly=True, samesite="Strict")
        return response

    @pages.get("/static/<path:name>")
    def static(name: str) -> Any:
        return flask.send_from_directory(STATIC, name)

    @pages.get("/state")
    def state() -> Any:
        return flask.Response(console.board.snapshot, mimetype="application/json")

    @pages.get("/log")
    def log() -> Any:
        return answer(console.board.entries)

    @pages.get("/events")
    def events() -> Any:
        if console.streams >= MOST_STREAMS:
            flask.abort(503, "too many pages are open: close one")
        last = flask.request.headers.get("Last-Event-ID", "")
        return flask.Response(_stream(console, last), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @pages.get("/members/<name>/log")
    def member_log(name: str) -> Any:
        cluster = console.director.cluster
        if cluster is None:
            flask.abort(409, "the cluster does not run")
        try:
            return {"lines": in_thread(cluster.log_lines, name, LOG_LINES)}
        except ClusterError as error:
            flask.abort(404, str(error))

    @pages.post("/commands")
    def command() -> Any:
        return {"id": console.director.post(read_posted(Order, "a command"))}, 202

    return pages


def _stream(console: Console, last: str) -> Iterator[bytes]:
    """Yield events until the browser goes away, which it does at the next write."""
    cursor = console.board.cursor(last)
    console.streams += 1
    try:
        yield b"retry: 1000\n\n"
        while True:
            yield from console.board.read(cursor)
            gevent.sleep(_POLL)
    finally:
        console.streams -= 1


def _check_origin(console: Console) -> None:
    """Refuse names that other sites resolve to this machine, and requests that other sites' pages make."""
    host = flask.request.headers.get("Host", "")
    if host not in {f"127.0.0.1:{console.port}", f"localhost:{console.port}"}:
        flask.abort(421, f"the host must be 127.0.0.1:{console.port}")
    if flask.request.headers.get("Origin", f"http://{host}") != f"http://{host}":
        flask.abort(403, "the origin is another site")
    if flask.request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        flask.abort(403, "the request comes from another site")


def _check_token(console: Console) -> Any:
    """Refuse requests without the token: in the address once, then in the cookie, or in a header for curl."""
    request = flask.request
    if request.path.startswith(f"{PREFIX}/static/"):
        return None  # nothing in it is secret, and the page of a wrong token needs it
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = [request.args.get("token"), request.cookies.get(console.cookie), bearer if scheme == "Bearer" else None]
    if any(hmac.compare_digest(one.encode(), console.token.encode()) for one in given if one):
        return None
    if request.path in {"/", f"{PREFIX}/"}:
        return flask.send_from_directory(STATIC, "locked.html"), 403
    return flask.abort(403, "the token is missing or wrong: `session-cluster console` prints an address with it")


class PageThread(threading.Thread):
    """Serves the page, in a gevent hub of its own: nothing is patched, and no other thread waits for it.

    Raises OSError if the port is taken.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(name="page", daemon=True)
        self._app = create_app(console)
        self._address = console.listen or ("127.0.0.1", console.port)
        self._ready, self._closing = threading.Event(), threading.Event()
        self._error: OSError | None = None

    def start(self) -> None:
        super().start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        server = WSGIServer(self._address, self._app, log=None)
        try:
            server.start()
        except OSError as error:
            self._error = error
            return
        finally:
            self._ready.set()
        while not self._closing.is_set():
            gevent.sleep(_POLL)
        gevent.sleep(2 * _POLL)  # the last snapshot
        server.stop(timeout=0.2)
        gevent.get_hub().destroy()

    def stop(self) -> None:
        """Send the last events, and end."""
        self._closing.set()
        self.join(timeout=2.0)


def serve(console: Console, sampler: Sampler, terminal: Terminal, hint: str) -> None:
    """Print the address, and run the console until a signal raises KeyboardInterrupt."""
    page = PageThread(console)
    sampler.start()
    page.start()
    terminal.print(f"Open [bold]{console.address}[/]\n", soft_wrap=True)
    terminal.print(hint, style="dim")
    try:
        console.director.run()
    finally:
        sampler.stop()
        page.stop()
