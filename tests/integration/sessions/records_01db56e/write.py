"""Write records.json: sessions as the version 01db56e stored them, on each store, plain and encrypted.

It runs on the code of that version, with a Redis that is empty:

    folder=$(mktemp -d) && git archive 01db56e nodes | tar -x -C "$folder"
    valkey-server --port 7777 --save "" &
    PYTHONPATH=$folder python -P tests/integration/sessions/records_01db56e/write.py redis://127.0.0.1:7777/0 \
        > tests/integration/sessions/records_01db56e/records.json

The sessions live for 50 years, so that the records can be read for as long. Each store's entry has the values of the
cookies and the raw records; bytes are hexadecimal. The entry `tables` has the statements that made the table.
"""

import importlib
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask
import redis
from sqlalchemy import create_mock_engine
from sqlalchemy.schema import CreateTable

from nodes.sessions import EncryptedStore, FileStore, RedisStore, SessionOptions, Sessions
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.sql import SqlStore

SECRET = "keyboard cat, keyboard cat, keyboard cat"
KEY = b"k" * 32
YEARS = 50 * 365 * 86400.0
VALUES: dict[str, Any] = {
    "nothing": None,
    "yes": True,
    "visits": 3,
    "large": 2**63 - 1,
    "ratio": 1.5,
    "name": "caf\u00e9 \U0001f36a",
    "raw": b"\x00\xff",
    "cart": {"apple": 2, "pear": {"sizes": [1, 2, [3]]}},
    "seen": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "@at": "begins with the sign of a field of our own",
}
JSON_VALUES = {name: value for name, value in VALUES.items() if name not in ("raw", "seen", "large")}


def make_cookies(store: Any, values: dict[str, Any]) -> dict[str, str]:
    """Create a session of each kind by requests to an application. Return the value of the cookie by kind."""
    app = flask.Flask("shop")
    Sessions(
        app, store=store, options=SessionOptions(secrets=(SECRET,), idle_timeout=YEARS, absolute_timeout=2 * YEARS)
    )

    @app.post("/<kind>")
    def create(kind: str) -> str:
        session: Any = flask.session  # its methods were those of the session at that time
        session.update(values)
        if kind != "anonymous":
            session.renew("alice")
        if kind == "own-lifetime":
            session.max_age = YEARS / 2
        return kind

    def cookie_of(kind: str) -> str:
        client = app.test_client()
        client.post(f"/{kind}")
        cookie = client.get_cookie("session")
        assert cookie is not None
        return cookie.value

    return {kind: cookie_of(kind) for kind in ("anonymous", "login", "own-lifetime")}


def read_redis(url: str) -> dict[str, Any]:
    """Return the keys with their types, values and milliseconds to live, and remove them."""
    readers: dict[bytes, Callable[[Any, bytes], Any]] = {
        b"hash": lambda client, key: {name.hex(): value.hex() for name, value in client.hgetall(key).items()},
        b"zset": lambda client, key: {name.hex(): score for name, score in client.zrange(key, 0, -1, withscores=True)},
        b"string": lambda client, key: client.get(key).hex(),
    }
    with redis.Redis.from_url(url) as client:
        found: dict[str, Any] = {}
        for key in sorted(client.scan_iter()):
            kind = client.type(key)
            found[key.decode()] = [kind.decode(), readers[kind](client, key), client.pttl(key)]
        client.flushdb()
    return found


def read_files(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes().hex() for path in files}


def read_sqlite(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())


def entries(url: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for form in ("plain", "encrypted"):

        def written(store: Any, form: str = form) -> dict[str, str]:
            return make_cookies(EncryptedStore(store, [KEY]) if form == "encrypted" else store, VALUES)

        yield f"redis {form}", {"cookies": written(RedisStore.from_url(url)), "records": read_redis(url)}
        files = folder / form
        yield f"file {form}", {"cookies": written(FileStore(files)), "records": read_files(files)}
        path = folder / f"{form}.sqlite"
        store = SqlStore.from_url(f"sqlite:///{path}")
        store.create_schema()
        yield f"sql {form}", {"cookies": written(store), "records": read_sqlite(path)}
    yield (
        "express plain",
        {"cookies": make_cookies(ExpressStore.from_url(url), JSON_VALUES), "records": read_redis(url)},
    )


def make_tables(url: str) -> str:
    """Return the statement that makes the table in a kind of database."""
    return str(CreateTable(metadata.tables["sessions"]).compile(dialect=create_mock_engine(url, print).dialect))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        found: dict[str, Any] = dict(entries(sys.argv[1], Path(made)))
    metadata: Any = importlib.import_module("nodes.sessions.stores.sql_schema").metadata
    found["tables"] = {url: make_tables(url) for url in ("sqlite://", "mysql+pymysql://", "postgresql+psycopg://")}
    json.dump(found, sys.stdout, indent=1)
    print()
