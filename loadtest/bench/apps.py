"""The application to measure, one for each session layer: `gunicorn loadtest.bench.apps:application()`.

Its answers are equal for all layers. The header X-Seen has the number of characters of the session that the view read,
and the session's counter. `/start` makes a session of 5 fields with 300 bytes, `/read` reads all of them, `/write`
reads one and changes it, `/none` does not use the session. The environment configures it: BENCH_APP, and BENCH_URL or
BENCH_FOLDER.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
from flask import Flask

from nodes.sessions import FileStore, MemoryStore, RedisStore, SessionOptions, Sessions, Store

BODY = "x" * 64
CHARACTERS = 60
TEXTS = {f"text{number}": str(number) * CHARACTERS for number in range(4)}
SECRET = "a secret of the bench, of 32 bytes or more"  # noqa: S105 - it guards nothing


def application() -> Flask:
    """Return the application that BENCH_APP names."""
    app = Flask("bench")
    _SESSIONS[os.environ["BENCH_APP"]](app)

    @app.get("/none")
    def none() -> tuple[str, dict[str, str]]:
        return BODY, {"X-Seen": "0 0"}

    @app.get("/start")
    def start() -> str:
        for name, text in TEXTS.items():
            flask.session[name] = text
        flask.session["count"] = "0".zfill(CHARACTERS)
        return BODY

    @app.get("/read")
    def read() -> tuple[str, dict[str, str]]:
        length = sum(len(flask.session[name]) for name in TEXTS)
        return BODY, {"X-Seen": f"{length} {int(flask.session['count'])}"}

    @app.get("/write")
    def write() -> tuple[str, dict[str, str]]:
        count = int(flask.session["count"]) + 1
        flask.session["count"] = str(count).zfill(CHARACTERS)
        return BODY, {"X-Seen": f"{CHARACTERS} {count}"}

    return app


def _this_layer(make: Callable[[], Store]) -> Callable[[Flask], None]:
    def use(app: Flask) -> None:
        Sessions(app, store=make(), options=SessionOptions(secrets=(SECRET,)))

    return use


def _sql() -> Store:
    from nodes.sessions.stores.sql import SqlStore

    store = SqlStore.from_url(os.environ["BENCH_URL"])
    store.create_schema()
    return store


def _flask_session(app: Flask) -> None:
    """Set up Flask-Session as its documentation does: a session in Redis that slides, in msgpack."""
    import redis
    from flask_session import Session  # type: ignore[import-untyped]

    client: Any = redis.Redis.from_url(os.environ["BENCH_URL"])
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client, SESSION_SERIALIZATION_FORMAT="msgpack")
    Session(app)


_SESSIONS: dict[str, Callable[[Flask], None]] = {
    "flask-alone": lambda _app: None,
    "flask-session": _flask_session,
    "redis": _this_layer(lambda: RedisStore.from_url(os.environ["BENCH_URL"])),
    "memory": _this_layer(MemoryStore),
    "file": _this_layer(lambda: FileStore(Path(os.environ["BENCH_FOLDER"]))),
    "sql": _this_layer(_sql),
}
