from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, update

from nodes.sessions import Budgets, Store
from nodes.sessions.stores.express_sql import ExpressSqlStore
from nodes.sessions.stores.express_table import sessions
from nodes.sessions.stores.sql_engine import engine_from
from tests.support.harness import Harness, Through
from tests.support.harnesses.express import BytesAsText, plain
from tests.support.sql_servers import PATIENT, SqlServer


class ExpressSqlHarness:
    """A database of its own in a real server, whose clock is turned for the store's connections."""

    overhead = 2  # the quotes around a text
    resolution = 1.0  # seconds; sessions end so much too early
    plain = staticmethod(plain)

    def __init__(self, server: SqlServer) -> None:
        self.url = server.database("express")
        self._silence = server.paused
        self._moved = 0.0
        self.engine = self._turned(engine_from(self.url, PATIENT))
        self.sql = ExpressSqlStore(self.engine, PATIENT)
        self.sql.create_schema()
        self._through = Through(self.sql)
        # PyMySQL reads the system's certificates for each connection that may become TLS, which takes 20 ms.
        hasty = Budgets(0.02, 0.02, retries=0, deadline=0.1)
        self._hasty = ExpressSqlStore.from_url(f"{self.url}?ssl_disabled=1", hasty)
        self.store: Store = self._through

    def _turned(self, engine: Engine) -> Engine:
        @event.listens_for(engine, "before_cursor_execute")
        def before(_connection: Any, cursor: Any, *_: Any) -> None:
            cursor.execute(f"SET timestamp = UNIX_TIMESTAMP(SYSDATE(6)) + {self._moved}")

        return engine

    def of_bytes(self) -> Harness:
        """The same for tests that store bytes which are no JSON."""
        self.store = BytesAsText(self._through)
        return self

    def advance(self, seconds: float) -> None:
        self._moved += seconds

    def damage(self, key: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(sessions).where(sessions.c.session_id == key).values(data="{broken"))

    def keys(self) -> set[str]:
        return set(self.sql.keys())

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with self._silence(), self._through.through(self._hasty):
            yield
            self._hasty.close()

    def clear(self) -> None:
        self._moved = 0.0
        self.store = self._through
        with self.engine.begin() as connection:
            connection.execute(delete(sessions))

    def close(self) -> None:
        self.sql.close()
        self._hasty.close()


@pytest.fixture(scope="session")
def express_sql_harness(mysql: SqlServer) -> Iterator[ExpressSqlHarness]:
    harness = ExpressSqlHarness(mysql)
    yield harness
    harness.close()


def make(request: pytest.FixtureRequest) -> Harness:
    harness: ExpressSqlHarness = request.getfixturevalue("express_sql_harness")
    return harness
