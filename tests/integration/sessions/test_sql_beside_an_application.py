"""Sessions in the database of an application that has a transaction of its own open: neither touches the other's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, event, text

from nodes.sessions import Budgets, SessionOptions, Sessions, current_session
from nodes.sessions.stores.sql import SqlStore
from nodes.sessions.stores.sql.engine import DRIVERS
from tests.integration.sessions.test_sql_store import store_name
from tests.support.browser import SECRET
from tests.support.harnesses.sql import SqlHarness

__all__ = ["store_name"]
WAIT = 0.5
"""Seconds that the store waits for a lock."""


class Shop:
    """An application with an engine of its own, and in the same database a table of its own."""

    def __init__(self, engine: Engine, store: SqlStore) -> None:
        self.engine = engine
        self.store = store
        self.view: Callable[[], Any] = lambda: "ok"
        app = Flask("shop")
        Sessions(app, store=store, options=SessionOptions(secrets=(SECRET,)))
        app.add_url_rule("/", view_func=lambda: self.view() or "ok")
        app.teardown_request(lambda _error: flask.g.pop("connection").close() if "connection" in flask.g else None)
        self.client = app.test_client()
        self.sent: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *about: self.sent.append(about[2]))

    def get(self, view: Callable[[], Any]) -> int:
        self.view = view
        return self.client.get("/").status_code

    def orders(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text("SELECT COUNT(*) FROM orders")).scalar_one())


ORDER = text("INSERT INTO orders (id) VALUES (1)")


@pytest.fixture
def shop(harness: SqlHarness) -> Iterator[Shop]:
    kind, _, rest = harness.url.partition("://")
    encoding = {"client_encoding": "utf8"} if kind == "postgresql" else {}
    engine = create_engine(f"{DRIVERS[kind]}://{rest}", connect_args=encoding)
    store = SqlStore.from_url(harness.url, Budgets(5, WAIT, retries=0, deadline=5))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    yield Shop(engine, store)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE orders"))
    store.close()
    engine.dispose()


def write() -> None:
    flask.session["a"] = flask.session.get("a", 0) + 1


def seen(shop: Shop) -> int:
    found: list[int] = []
    assert shop.get(lambda: found.append(flask.session.get("a", 0))) == 200
    return found[0]


def test_a_transaction_that_only_reads_blocks_no_writer_and_sees_its_own_view(shop: Shop) -> None:
    assert shop.get(write) == 200

    def look() -> None:
        with shop.engine.connect() as connection:
            connection.execute(text("SELECT COUNT(*) FROM orders"))
            write()
            current_session.save()
            assert connection.in_transaction()

    assert shop.get(look) == 200
    assert seen(shop) == 2


def test_in_sqlite_an_open_write_of_the_application_refuses_its_own_session(shop: Shop) -> None:
    """There is one writer at a time, and the other one is the request itself: docs/sql.md says what to do."""

    def keeps_it_open() -> None:
        flask.g.connection = shop.engine.connect()  # until the request is over, as extensions do
        flask.g.connection.execute(ORDER)
        write()

    started = time.monotonic()
    assert shop.get(keeps_it_open) == 503
    assert WAIT <= time.monotonic() - started < WAIT + 5
    assert (shop.orders(), seen(shop)) == (0, 0)

    def commits_first() -> None:
        with shop.engine.begin() as connection:
            connection.execute(ORDER)
        write()  # saved when the response is made

    assert shop.get(commits_first) == 200
    assert (shop.orders(), seen(shop)) == (1, 1)
