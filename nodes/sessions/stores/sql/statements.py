"""The table of the SQL store, its statements, and the operations in which the databases differ.

SQLAlchemy compiles each statement once for a database, and then only binds values. Parameters begin with an underscore,
so that none has the name of a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from ...checks import MAX_OWNER, check_type
from ...store import ELSEWHERE, MARK_SECONDS, QUARANTINE_SECONDS, ForeignTable

SESSION, MARK = 0, -1
"""The column `set_aside` of a session, and of the mark of one that ended. A mark keeps the row of its session, but its
`fields` are the sealed id of the session that goes on, and it has no owner."""
FORMAT = 1
"""The format of the rows that this code writes and reads."""

metadata = sa.MetaData()
"""For migrations: name it in Alembic's `target_metadata`."""


def _text(length: int, charset: str) -> sa.String:
    """Return a type that is compared byte by byte, whatever the database's own collation is."""
    exact = mysql.VARCHAR(length, charset=charset, collation=f"{charset}_bin")
    return (
        sa.String(length)
        .with_variant(exact, "mysql", "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(sa.String(length, collation="BINARY"), "sqlite")
    )


def make_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Return the table of a store, with its indexes. Raises TypeError, ValueError."""
    check_type("table", name, str, "a str")
    if not 1 <= len(name) <= 64:
        raise ValueError(f"table must have 1 to 64 characters, not {name!r}")
    return sa.Table(
        name,
        metadata,
        sa.Column("key", _text(64, "ascii"), primary_key=True, comment="SHA-256 of the session's id, hexadecimal"),
        sa.Column(
            "set_aside",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="0 for a session; when a damaged one was taken out of the way, in ms since the epoch",
        ),
        sa.Column(
            "owner", _text(MAX_OWNER, "utf8mb4"), comment="whom the session belongs to; NULL: nobody is logged in"
        ),
        sa.Column("created", sa.BigInteger, nullable=False, comment="ms since the epoch"),
        sa.Column("expires", sa.BigInteger, nullable=False, comment="ms since the epoch"),
        sa.Column("final", sa.Boolean, nullable=False, comment="whether the absolute timeout decides when it expires"),
        sa.Column("format", sa.SmallInteger, nullable=False, comment="version of the row"),
        sa.Column(
            "fields",
            sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
            nullable=False,
            comment="MessagePack: a map of names to encoded values",
        ),
        sa.Index(f"{name}_by_owner", "owner", "created"),
        sa.Index(f"{name}_by_expiry", "expires"),
    )


sessions = make_table("sessions", metadata)


class now_ms(FunctionElement[int]):  # noqa: N801 - used like a function
    """The database's clock in ms since the epoch, constant throughout one statement.

    Not the beginning of the transaction (PostgreSQL's `now()`): an update may have waited for its row. Not the
    session's time zone (MySQL's `UNIX_TIMESTAMP(NOW())`): one hour of it comes twice a year.
    """

    type = sa.BigInteger()
    inherit_cache = True


@compiles(now_ms, "postgresql")
def _postgresql(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "mysql")
@compiles(now_ms, "mariadb")
def _mysql(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"


@compiles(now_ms, "sqlite")
def _sqlite(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def check_columns(connection: sa.Connection, table: sa.Table) -> None:
    """Raise `ForeignTable` if there is a table of this name without the columns of `table`."""
    try:
        found = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    except sa.exc.NoSuchTableError:
        return
    if missing := [column.name for column in table.columns if column.name not in found]:
        raise ForeignTable(
            f"the table `{table.name}` is not a table of sessions: it lacks the columns {', '.join(missing)}"
        )


def create_missing(connection: sa.Connection, table: sa.Table) -> None:
    """Create the table and its indexes, each where it is missing. Raises `ForeignTable`."""
    table.create(connection, checkfirst=True)
    check_columns(connection, table)
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        index.create(connection, checkfirst=True)  # where a node ended between the table and its indexes


_KEY = sa.bindparam("_key", type_=sa.String)
_IDLE = sa.bindparam("_idle", type_=sa.BigInteger)
_ABSOLUTE = sa.bindparam("_absolute", type_=sa.BigInteger)
_FIELDS = sa.bindparam("_fields", type_=sa.LargeBinary)


def _expires(created: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    idle, absolute = now_ms() + _IDLE, created + _ABSOLUTE
    return sa.case((absolute < idle, absolute), else_=idle)


def _final(created: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    return sa.case((created + _ABSOLUTE <= now_ms() + _IDLE, True), else_=False)


class Statements:
    """The statements on one table. Those that read a session have NULL for fields of more than `most` bytes."""

    def __init__(self, table: sa.Table, most: int) -> None:
        columns = table.c
        fields = sa.case((sa.func.length(columns.fields) <= most, columns.fields)).label("fields")
        kept = columns.set_aside == SESSION
        this = sa.and_(columns.key == _KEY, kept)
        mark = sa.and_(columns.key == _KEY, columns.set_aside == MARK)
        live = columns.expires > now_ms()
        # Checked in every statement of an update, since between two of them time passes.
        updatable = sa.and_(this, live, columns.created + _ABSOLUTE > now_ms())
        record = (
            columns.owner,
            columns.created,
            (columns.expires - now_ms()).label("ttl"),
            columns.final,
            columns.format,
            fields,
            columns.set_aside,
        )

        # The session before its mark.
        self.load = (
            sa.select(*record)
            .where(columns.key == _KEY, columns.set_aside.in_((SESSION, MARK)), live)
            .order_by(columns.set_aside.desc())
            .limit(1)
        )
        self.load_mark = sa.select(fields).where(mark, live)
        self.delete = sa.delete(table).where(this, live)
        self.load_locked = sa.select(*record).where(this).with_for_update()

        created = sa.func.coalesce(sa.bindparam("_created", type_=sa.BigInteger), now_ms(), type_=sa.BigInteger)
        self.insert = sa.insert(table).values(
            key=_KEY,
            set_aside=SESSION,
            owner=sa.bindparam("_owner"),
            created=created,
            expires=_expires(created),
            final=_final(created),
            format=FORMAT,
            fields=_FIELDS,
        )
        self.insert_returning = self.insert.returning(columns.created)
        self.delete_expired = sa.delete(table).where(this, columns.expires <= now_ms())

        self.lock = sa.select(columns.format, fields).where(this, live).with_for_update()
        renewed = {"expires": _expires(columns.created), "final": _final(columns.created)}
        self.write = sa.update(table).where(updatable).values(fields=_FIELDS, **renewed)
        self.touch = sa.update(table).where(updatable, columns.format == FORMAT).values(**renewed)

        as_mark = {
            "set_aside": MARK,
            "owner": None,
            "expires": now_ms() + MARK_SECONDS * 1000,
            "final": True,
            "format": FORMAT,
            "fields": sa.bindparam("_successor", type_=sa.LargeBinary),
        }
        self.retire = sa.update(table).where(this, live).values(as_mark)
        # In MySQL by the key: with old statistics it may look at every row, and wait for those that others have locked.
        among = columns.key.in_(sa.bindparam("_keys", expanding=True))
        self.lock_many = (
            sa.select(columns.key, columns.set_aside)
            .where(among, sa.or_(sa.and_(kept, live), columns.set_aside == MARK))
            .order_by(columns.key)
            .with_for_update()
        )
        for dialect in ("mysql", "mariadb"):
            self.lock_many = self.lock_many.with_hint(table, "FORCE INDEX (PRIMARY)", dialect)
        self.delete_marks = sa.delete(table).where(among, columns.set_aside == MARK)
        self.retire_many = sa.update(table).where(among, kept).values(as_mark)
        self.retire_expected = self.retire.where(columns.format == FORMAT, columns.fields == _FIELDS)
        self.insert_mark = sa.insert(table).values(as_mark | {"key": _KEY, "created": now_ms()})
        self.delete_mark = sa.delete(table).where(mark)
        # One of a concurrent call is kept: the databases look at the row again once they have its lock.
        self.delete_obsolete_mark = self.delete_mark.where(sa.or_(sa.not_(live), columns.fields == ELSEWHERE))

        kept_until = now_ms() + QUARANTINE_SECONDS * 1000
        self.quarantine = sa.update(table).where(this).values(set_aside=now_ms(), expires=kept_until)

        # Asks the table too: a database that is up but can't read the sessions is not available.
        self.ping = sa.select(now_ms().label("now"), sa.exists(sa.select(columns.key)).label("any"))

        of_owner = sa.select(columns.key, columns.owner).where(columns.owner == sa.bindparam("_owner"), kept, live)
        self.keys_of = of_owner.order_by(columns.created, columns.key)
        self.page_of = (
            of_owner.order_by(columns.created.desc(), columns.key.desc())
            .limit(sa.bindparam("_limit"))
            .offset(sa.bindparam("_first"))
        )
        self.keys = (
            sa.select(columns.key)
            .where(columns.key > sa.bindparam("_after"), kept, live)
            .order_by(columns.key)
            .limit(sa.bindparam("_limit"))
        )
        self.count = sa.select(sa.func.count()).select_from(table).where(kept, live)

        self.expired = (
            sa.select(columns.key.label("_key"), columns.set_aside.label("_set_aside"))
            .where(columns.expires <= now_ms())
            .order_by(columns.expires)
            .limit(sa.bindparam("_limit"))
            .with_for_update(skip_locked=True)
        )
        # Row by row: with a list of keys and old statistics MySQL may look at every row, and wait for those of another
        # sweep.
        self.remove = sa.delete(table).where(columns.key == _KEY, columns.set_aside == sa.bindparam("_set_aside"))

    def insert_session(self, connection: sa.Connection, values: dict[str, Any]) -> int:
        """Insert a session and return when it was created, in ms. IntegrityError where its key is taken."""
        if connection.dialect.insert_returning:
            return int(connection.execute(self.insert_returning, values).scalar_one())
        # MySQL can't return the inserted row. So the time is read first, and a failure leaves nothing behind.
        created = values["_created"] if values["_created"] is not None else connection.execute(self.ping).one().now
        connection.execute(self.insert, values | {"_created": created})
        return int(created)

    def take_expired(self, connection: sa.Connection, limit: int) -> Sequence[sa.RowMapping]:
        """Delete the first `limit` expired rows that no other transaction has locked. Return `_key` and `_set_aside`
        of each."""
        expired = connection.execute(self.expired, {"_limit": limit}).mappings().all()
        if expired:
            connection.execute(self.remove, [dict(row) for row in expired])
        return expired
