"""Connections to PostgreSQL within budgets that a silent server can't exceed, and without blocking a gevent worker.

libpq has whole seconds for connecting, at least two, and no timeout for answers. But psycopg waits in Python: its
operations are generators that wait between their steps. This module imports psycopg, which then decides how to wait:
with gevent where `select` is patched already, else in C, which blocks all greenlets. So it is a file of its own, which
`engine.py` imports late.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen, PQGenConn
from psycopg.pq import TransactionStatus

from ...store import Budgets
from ..name_lookup import Resolver
from .engine import MARGIN

T = TypeVar("T")
_ANY_PORT = 0


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose operations have timeouts. It is closed after one, because an answer may still come."""

    connect_timeout: float
    answer_timeout: float

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Connect as psycopg does, with a deadline; it wakes every 0.1 s."""
        until = time.monotonic() + cls.connect_timeout
        steps = super()._connect_gen(conninfo)
        step = next(steps)
        while True:
            ready = yield step
            try:
                step = steps.send(ready)
            except StopIteration as end:
                connection: Self = end.value
                return connection
            if time.monotonic() >= until:
                raise psycopg.errors.ConnectionTimeout(f"no connection within {cls.connect_timeout:g} s")

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.answer_timeout if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


def make_connector(budgets: Budgets, resolver: Resolver) -> Callable[[dict[str, Any]], BoundedConnection]:
    """Return a function that connects with parameters of libpq.

    It raises OperationalError within `connect_timeout` for the lookup and for each address of the host, and within
    `read_timeout` for the limits that the server gets.
    """

    class Bounded(BoundedConnection):
        connect_timeout = budgets.connect_timeout
        answer_timeout = budgets.read_timeout + MARGIN

    milliseconds = math.ceil(budgets.read_timeout * 1000)
    # After connecting, which is one more round trip: PgBouncer refuses them as a parameter of the start. They also win
    # over those of the URL's `options` and of the user's role.
    limits = (
        f"SET statement_timeout = {milliseconds};"  # waiting for a lock included
        f"SET idle_in_transaction_session_timeout = {4 * milliseconds};"
        "SET default_transaction_isolation = 'read committed'"
    )

    def connect(parameters: dict[str, Any]) -> BoundedConnection:
        resolved = _resolve(parameters, resolver, budgets.connect_timeout)
        connection = Bounded.connect(autocommit=True, **resolved)
        try:
            connection.execute(limits)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _resolve(parameters: dict[str, Any], resolver: Resolver, seconds: float) -> dict[str, Any]:
    """Add the addresses of the host: libpq would ask the DNS itself, and block every greenlet."""
    host = parameters.get("host", "")
    if not host or host.startswith(("/", "@")) or "," in host or "hostaddr" in parameters:
        return parameters
    try:
        addresses = resolver.addresses(host, _ANY_PORT, seconds)
    except OSError as error:
        raise psycopg.OperationalError(f"{host}: {error}") from error
    return {**parameters, "host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}
