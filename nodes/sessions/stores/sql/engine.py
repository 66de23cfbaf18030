"""SQLAlchemy engines with time budgets, because the drivers' own timeouts are minutes or none."""

from __future__ import annotations

import math
import os
import select
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError

from ...checks import check_type, check_url
from ...extras import make_import_error
from ...store import Budgets
from ..name_lookup import Resolver
from ..url_options import FILE, NAME, TEXT, WHOLE, YES_OR_NO, Values, check_options, one_of

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgresql": "postgresql+psycopg",
}
_MYSQL_OPTIONS = {
    **dict.fromkeys(("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key"), FILE),
    "ssl_check_hostname": YES_OR_NO,
    "ssl_cipher": TEXT,
    "ssl_disabled": one_of("1", "true"),  # PyMySQL takes any text as true
    "charset": one_of("utf8mb4"),
    "unix_socket": TEXT,
    "program_name": NAME,
}
_OPTIONS: dict[str, dict[str, Values]] = {
    "sqlite": {},
    "mysql": _MYSQL_OPTIONS,
    "mariadb": _MYSQL_OPTIONS,
    "postgresql": {
        **dict.fromkeys(("host", "port", "hostaddr", "passfile", "options"), TEXT),
        **dict.fromkeys(("sslcert", "sslkey", "sslcrl"), FILE),
        "sslrootcert": Values(lambda it: it == "system" or os.access(it, os.R_OK), "a readable file's path or system"),
        "sslmode": one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        "sslnegotiation": one_of("postgres", "direct"),
        "channel_binding": one_of("disable", "prefer", "require"),
        "gssencmode": one_of("disable", "prefer", "require"),
        "target_session_attrs": one_of("any", "read-write", "primary"),
        "load_balance_hosts": one_of("disable", "random"),
        "application_name": NAME,
        **dict.fromkeys(("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"), WHOLE),
        "tcp_user_timeout": WHOLE,
    },
}
BUDGETED = {"connect_timeout", "read_timeout", "write_timeout", "timeout"}
"""Options of the drivers that the store's budgets set."""
MARGIN = 0.1
"""Seconds for a server to report that a statement timed out, before the client gives up and loses the connection."""
RECYCLE = 600
"""Seconds after which a pooled connection is replaced, well before a server or a firewall forgets it."""
LONGEST_IDLE = RECYCLE + 60
"""Seconds after which MySQL ends an idle connection, and releases the locks of a process that hangs. Its own default is
eight hours."""


def make_engine(url: str | URL, budgets: Budgets) -> Engine:
    """Return an engine that connects when first used. Raises ValueError for a URL that can't be right."""
    if not isinstance(url, URL):
        check_url(url)
    check_type("budgets", budgets, Budgets, "a Budgets")
    try:
        parsed = make_url(url)
        valid = parsed.port is None or 0 < parsed.port <= 65535
    except (SQLAlchemyError, ValueError):  # their texts may have a part of the password
        valid = False
    if not valid:
        raise ValueError("the URL must be KIND://user:password@host:port/database, with a port from 1 to 65535")
    kind = parsed.get_backend_name()
    if kind not in DRIVERS:
        raise ValueError(f"the database must be one of {', '.join(f'{name}://' for name in DRIVERS)}, not {kind}://")
    if kind == "sqlite" and (parsed.host or parsed.database in (None, "", ":memory:")):
        raise ValueError("the URL names no file; sessions in SQLite need one, as in sqlite:////var/lib/sessions.db")
    if not parsed.database:
        raise ValueError(f"the URL names no database; end it with one, as {kind}://user:password@host/database")
    check_options(_options(parsed), _OPTIONS[kind], BUDGETED)
    parsed = parsed.set(drivername=DRIVERS[kind])
    make = {"sqlite": _sqlite, "postgresql": _postgresql}.get(kind, _mysql)
    try:
        engine = make(parsed, budgets)
        engine.dialect.create_connect_args(engine.url)  # a wrong list of hosts and ports is found here
    except (SQLAlchemyError, ValueError) as error:
        raise ValueError(f"the URL has a wrong option: {' '.join(str(error).split())}") from None
    except ImportError as error:  # of psycopg it may be the C library that is missing
        raise make_import_error(f"{kind}://", DRIVERS[kind].partition("+")[2]) from error
    return engine


def _options(url: URL) -> Iterator[tuple[str, str]]:
    """Yield the options of a URL. Several hosts are one option."""
    for name, value in url.query.items():
        if isinstance(value, str) or name in {"host", "port"}:
            yield name, str(value)
        else:
            yield from ((name, each) for each in value)


def make_housekeeping_budgets(budgets: Budgets) -> Budgets:
    """Return the budgets of housekeeping: twenty times the read timeout, and two connections."""
    read_timeout = min(20 * budgets.read_timeout, 60)
    deadline = max(budgets.deadline, read_timeout)
    return replace(budgets, read_timeout=read_timeout, deadline=deadline, max_connections=2)


def _engine(url: URL, budgets: Budgets, connect_args: dict[str, Any], **more: Any) -> Engine:
    return create_engine(
        url,
        connect_args=connect_args,
        isolation_level="AUTOCOMMIT",  # one statement, one round trip; the store begins its transactions itself
        skip_autocommit_rollback=True,
        pool_size=budgets.max_connections,
        max_overflow=0,
        pool_timeout=budgets.connect_timeout,
        pool_recycle=RECYCLE,
        pool_use_lifo=True,
        hide_parameters=True,
        **more,
    )


def _check_when_used(engine: Engine, descriptor: Callable[[Any], int | None]) -> None:
    """Replace a pooled connection from which something was sent that no statement asked for: mostly its end.

    A write on it would fail without an answer, and could not be tried again. The check is without a round trip.
    `descriptor` returns that of a connection's socket, or None for a closed one.
    """

    @event.listens_for(engine, "checkout")
    def used(connection: Any, _record: object, _proxy: object) -> None:
        number = descriptor(connection)
        if number is None or _is_readable(number):
            raise DisconnectionError("the server has closed this connection")


def _to_text(data: bytes) -> str:
    """Return the text of a damaged row, too, with lone surrogates, which no owner has. sqlite3 raises an error."""
    return data.decode(errors="surrogateescape")


def _connect_with(engine: Engine, connect: Callable[[dict[str, Any]], Any]) -> None:
    """Have connections made by `connect`, which gets the parameters of the driver's own function."""

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> Any:
        return connect(parameters)


def _is_readable(descriptor: int) -> bool:
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    return bool(readable.poll(0))


def _sqlite(url: URL, budgets: Budgets) -> Engine:
    # No waiting for a lock within SQLite, where all greenlets of a worker would wait: `transactions` tries again.
    engine = _engine(url, budgets, {"timeout": 0})

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.text_factory = _to_text
        # Readers and the writer don't wait for each other. The default, synchronous=FULL, stays: a session that has
        # ended stays ended after a power failure.
        connection.execute("PRAGMA journal_mode=WAL").close()

    return engine


def _mysql(url: URL, budgets: Budgets) -> Engine:
    from .mysql import make_connector  # here: other databases do without the driver

    engine = _engine(
        url,
        budgets,
        {
            "connect_timeout": budgets.connect_timeout,
            "read_timeout": budgets.read_timeout + MARGIN,
            "write_timeout": budgets.read_timeout + MARGIN,
            "autocommit": True,
        },
    )
    _check_when_used(engine, lambda connection: connection._sock.fileno() if connection.open else None)
    _connect_with(engine, make_connector(budgets, Resolver()))
    wait = math.ceil(budgets.read_timeout)
    limits = (
        # No gap locks: a sweep locks the rows it removes, and not the gaps, where others insert.
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        # MySQL has whole seconds only. MariaDB reads the comment: it can end statements and idle transactions.
        f"SET SESSION wait_timeout = {LONGEST_IDLE}, innodb_lock_wait_timeout = {wait} /*M! ,"
        f" max_statement_time = {budgets.read_timeout:g}, idle_transaction_timeout = {4 * wait} */",
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            for limit in limits:
                cursor.execute(limit)

    return engine


def _postgresql(url: URL, budgets: Budgets) -> Engine:
    # Imported here: psycopg decides when it is imported whether it waits with gevent, so a process that becomes a
    # gevent worker must not import it before.
    from .postgresql import make_connector

    # A database made without an encoding (SQL_ASCII) would answer in bytes.
    engine = _engine(url, budgets, {"client_encoding": "utf8"}, use_native_hstore=False)
    _check_when_used(engine, lambda connection: None if connection.closed else connection.fileno())
    _connect_with(engine, make_connector(budgets, Resolver()))
    return engine
