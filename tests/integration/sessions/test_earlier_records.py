"""Records that earlier versions wrote are read, changed and ended. records_01db56e/write.py made those of 01db56e."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_mock_engine
from sqlalchemy.schema import CreateTable

from nodes.sessions import (
    EncryptedStore,
    ExpressStore,
    FileStore,
    RedisStore,
    SessionOptions,
    Sessions,
    SqlStore,
    Store,
    current_session,
)
from nodes.sessions.stores.sql.statements import metadata
from tests.integration.sessions.records_01db56e.write import JSON_VALUES, KEY, SECRET, VALUES, YEARS
from tests.support.valkey import Valkey

RECORDS: dict[str, Any] = json.loads((Path(__file__).parent / "records_01db56e" / "records.json").read_text())
ENTRIES = [name for name in RECORDS if name != "tables"]


def restore_redis(records: dict[str, Any], server: Valkey, folder: Path) -> None:
    with server.client() as client:
        client.flushdb()
        for key, (kind, value, milliseconds) in records.items():
            match kind:
                case "hash":
                    client.hset(key, mapping={bytes.fromhex(k): bytes.fromhex(v) for k, v in value.items()})
                case "zset":
                    client.zadd(key, {bytes.fromhex(member): score for member, score in value.items()})
                case _:
                    client.set(key, bytes.fromhex(value))
            client.pexpire(key, milliseconds)


def restore_files(records: dict[str, str], server: Valkey, folder: Path) -> None:
    for name, content in records.items():
        path = folder / "sessions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes.fromhex(content))


def restore_sqlite(records: list[str], server: Valkey, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "sessions.sqlite")) as connection:
        connection.executescript("\n".join(records))


RESTORE: dict[str, Callable[[Any, Valkey, Path], None]] = {
    "redis": restore_redis,
    "express": restore_redis,
    "file": restore_files,
    "sql": restore_sqlite,
}
MAKE: dict[str, Callable[[Valkey, Path], Store]] = {
    "redis": lambda server, _: RedisStore.from_url(server.url),
    "express": lambda server, _: ExpressStore.from_url(server.url),
    "file": lambda _, folder: FileStore(folder / "sessions"),
    "sql": lambda _, folder: SqlStore.from_url(f"sqlite:///{folder / 'sessions.sqlite'}"),
}


class Shop:
    """An application of today on the records of an entry, with browsers that have their cookies."""

    def __init__(self, entry: str, store: Store) -> None:
        self.app = flask.Flask("shop")
        self.values = JSON_VALUES if entry.startswith("express") else VALUES
        options = SessionOptions(secrets=(SECRET,), idle_timeout=YEARS, absolute_timeout=2 * YEARS)
        self.sessions = Sessions(self.app, store=store, options=options)
        self._cookies: dict[str, str] = RECORDS[entry]["cookies"]
        self.seen: dict[str, Any] = {}
        self.owner: str | None = None
        self.max_age: float | None = None

        @self.app.get("/")
        def show() -> str:
            self.seen, self.owner = dict(flask.session), current_session.owner
            self.max_age = current_session.max_age
            return ""

        @self.app.post("/visit")
        def visit() -> str:
            return str(current_session.mutate("visits", lambda visits: visits + 1))

        @self.app.post("/login")
        def login() -> str:
            current_session.renew("alice")
            return ""

        @self.app.post("/logout")
        def logout() -> str:
            current_session.end()
            return ""

    def browser(self, kind: str) -> FlaskClient:
        client = self.app.test_client()
        client.set_cookie("session", self._cookies[kind])
        return client

    def show(self, client: FlaskClient) -> dict[str, Any]:
        assert client.get("/").status_code == 200
        return self.seen


@pytest.fixture(params=ENTRIES)
def shop(request: pytest.FixtureRequest, server: Valkey, tmp_path: Path) -> Iterator[Shop]:
    entry: str = request.param
    kind, _, form = entry.partition(" ")
    RESTORE[kind](RECORDS[entry]["records"], server, tmp_path)
    with closing(MAKE[kind](server, tmp_path)) as store:
        yield Shop(entry, EncryptedStore(store, [KEY]) if form == "encrypted" else store)


KINDS = ("anonymous", "login", "own-lifetime")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_01db56e_has_its_values_and_owner(shop: Shop, kind: str) -> None:
    seen = shop.show(shop.browser(kind))
    assert {name: (type(value), value) for name, value in shop.values.items()}.items() <= {
        name: (type(value), value) for name, value in seen.items()
    }.items()
    assert shop.owner == (None if kind == "anonymous" else "alice")
    if kind == "own-lifetime":
        assert shop.max_age == YEARS / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_of_01db56e_is_changed_renewed_and_ended(shop: Shop, kind: str) -> None:
    client = shop.browser(kind)
    assert client.post("/visit").text == "4"
    assert shop.show(client)["visits"] == 4
    earlier = client.get_cookie("session")
    assert client.post("/login").status_code == 200
    assert client.get_cookie("session") != earlier
    assert shop.show(client)["cart"] == VALUES["cart"]
    assert client.post("/logout").status_code == 200
    assert shop.show(client) == {}
    assert shop.show(shop.browser(kind)) == {}


def test_all_sessions_of_a_user_of_01db56e_can_be_ended(shop: Shop) -> None:
    with shop.app.test_request_context():
        assert shop.sessions.end_all("alice") == 2
    assert [bool(shop.show(shop.browser(kind))) for kind in KINDS] == [True, False, False]


@pytest.mark.parametrize("url", RECORDS["tables"])
def test_the_table_of_01db56e_has_the_columns_of_the_present_one(url: str) -> None:
    def columns(statement: str) -> list[str]:
        return re.sub(r" COMMENT '(?:[^']|'')*'", "", statement).split()

    dialect = create_mock_engine(url, print).dialect
    present = str(CreateTable(metadata.tables["sessions"]).compile(dialect=dialect))
    assert columns(present) == columns(RECORDS["tables"][url])
